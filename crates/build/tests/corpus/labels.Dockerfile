# peers: docker buildah
FROM base
LABEL one=1 \
      two="two words" \
      "three with space"="3" \
      four='single "quotes"' \
      five="multi \
line"
LABEL com.example.vendor="ACME Incorporated"
LABEL one=again empty=""
LABEL old form of labels
MAINTAINER Some Body <some@body.example>
