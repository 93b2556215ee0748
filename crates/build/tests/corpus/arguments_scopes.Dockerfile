# peers: docker
ARG GLOBAL=global
ARG TAG=latest
ARG DERIVED=${GLOBAL}-${TAG:+tagged}
FROM base:${TAG} AS one
ARG GLOBAL
ARG DERIVED
ARG LOCAL=${GLOBAL}/local
RUN echo "$GLOBAL $DERIVED $LOCAL ${TAG-unset}" > /one
ARG GLOBAL=again
ENV GLOBAL=of-env
RUN echo "$GLOBAL" >> /one
FROM one
ARG LATE=late
ARG NOVALUE
ARG EMPTY=
RUN echo "[$GLOBAL] [$LATE] [${NOVALUE-unset}] [${EMPTY-unset}] [${TAG-unset}]" > /two
FROM base
ARG GLOBAL
COPY --from=one /one /one
COPY --from=1 /two /two
RUN echo "${HTTP_PROXY:-no proxy} ${GLOBAL} ${LOCAL-none}" > /three
LABEL global=$GLOBAL derived="${DERIVED:-none}"
