# peers: docker buildah
FROM base
SHELL ["/bin/sh", "-xc"]
RUN echo "a   b" > /spaces; \
    # a comment within
    echo c >> /spaces
RUN ["/bin/sh", "-c", "echo exec form > /exec"]
RUN echo $0 > /zero
