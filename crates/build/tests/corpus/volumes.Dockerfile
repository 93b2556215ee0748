# peers: docker
FROM base
RUN mkdir /before && echo kept > /before/f
VOLUME /before
RUN mkdir -p /elsewhere && echo x > /elsewhere/f
COPY a.txt /copied-before/a
VOLUME /later
VOLUME ["/copied-before", "/a b"]
