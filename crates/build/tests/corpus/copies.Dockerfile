# peers: docker buildah
FROM base
COPY a.txt /a
COPY a.txt b.txt /many/
COPY *.txt /glob/
COPY dir /dir
COPY dir/ /dir2/
COPY folder /through-link
COPY dir/link /file-of-link
COPY . /all/
