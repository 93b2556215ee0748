# peers: docker buildah
FROM base
ENTRYPOINT []
CMD []
ENV PATH=/only
SHELL ["/bin/sh", "-c"]
