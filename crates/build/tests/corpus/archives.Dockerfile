# peers: docker buildah
FROM base
ADD archive.tar /plain/
ADD archive.tar.gz /packed
COPY archive.tar /as-it-is.tar
