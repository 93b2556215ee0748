# peers: buildah
# context: wide
FROM base
ADD archives/kinds.tar.zst /zst/
