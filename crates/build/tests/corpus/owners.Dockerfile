# peers: docker buildah
FROM base
COPY --chown=app:staff a.txt /own/a
COPY --chown=55:66 dir /own/dir
USER app
WORKDIR /tmp
RUN touch mine && id > /tmp/id
USER 7:8
RUN id -u > /tmp/uid
