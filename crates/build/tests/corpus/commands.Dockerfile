# peers: docker buildah
FROM base
ENTRYPOINT exec $0
CMD echo "$HOME"
HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD test -f /x
