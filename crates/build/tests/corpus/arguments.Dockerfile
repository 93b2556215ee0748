# peers: docker buildah
ARG BASE=base
FROM $BASE
ARG GREETING=hello
ARG EMPTY
RUN echo "$GREETING-$EMPTY-${EMPTY:-none}-${GREETING:+set}" > /said
ENV GREETING=changed
RUN echo "$GREETING" >> /said
