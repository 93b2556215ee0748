# peers: docker buildah
FROM base AS made
FROM scratch
COPY --from=made /bin/busybox /bin/sh
COPY a.txt /
ENTRYPOINT ["/bin/sh"]
