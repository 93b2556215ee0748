# peers: docker buildah
# context: wide
FROM base
COPY links /links
COPY links/to-file /as-file
COPY links/to-dir /as-dir
COPY links/to-dir/ /as-dir-slash/
COPY links/to-dir/top.txt /through
RUN mkdir /real && ln -s /real /alias && ln -s real/inner /dangling-dir
COPY a.txt /alias/
COPY dir /alias/dir
COPY b.txt /alias/b
