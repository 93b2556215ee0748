# peers: docker buildah
# context: ignored
FROM base
COPY . /all
COPY src /src
COPY docs/*.md /md/
