ARG GLOBAL=g
ARG OVER=default
ARG DERIVED=${GLOBAL}-${OVER}
FROM scratch AS one
RUN echo before: no global is here
ARG GLOBAL
ARG OVER=stage
ARG OWN=own-${GLOBAL}-${OVER}
ARG DERIVED
ARG NOTHING
ENV SEEN=${GLOBAL}/${OVER}/${OWN}/${DERIVED}/${NOTHING:-unset}
RUN echo $SEEN
FROM one AS two
RUN echo arguments of the stage above are here
FROM scratch
ARG OWN
LABEL own="[$OWN]"
COPY --from=two / /
# build: arg=OVER=given arg=NOTHING=something
