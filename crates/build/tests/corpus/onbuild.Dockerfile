# peers: docker buildah
FROM base AS parent
ONBUILD COPY a.txt /from-trigger
ONBUILD RUN echo "ran after ${STEP:-nothing}" > /ran
ONBUILD ENV TRIGGERED=yes
ONBUILD WORKDIR /triggered
FROM parent
COPY b.txt here
RUN pwd > /where && echo "$TRIGGERED" > /triggered-was
ONBUILD RUN echo for the next
ONBUILD LABEL next="one more"
