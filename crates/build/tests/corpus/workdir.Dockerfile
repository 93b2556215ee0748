# peers: docker buildah
FROM base
WORKDIR /w
WORKDIR deeper
COPY a.txt .
COPY b.txt there/b
RUN pwd > here
WORKDIR /w
