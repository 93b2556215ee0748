# peers: docker buildah
FROM base
COPY dir /x
COPY dir/sub /x/
COPY a.txt /x/top.txt
COPY b.txt /x/sub/
