# peers: docker buildah
FROM base
RUN mkdir -p /m/a/b && echo 1 > /m/a/b/c
RUN mv /m/a /m/z && echo 2 > /m/z/b/d
RUN mv /m/z/b/c /m/c
