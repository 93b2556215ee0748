# peers: docker buildah
# context: wide
FROM base
COPY empty /empty
COPY emptydir /emptydir
COPY sparse /sparse
COPY hard /hard
COPY hard/one /hard-alone
RUN : > /nothing && dd if=/dev/zero of=/holes bs=1 count=1 seek=5000000 2>/dev/null && ln /nothing /nothing-too && ln -s /nothing /soft
RUN ln /hard/one /hard/three && ln /bin/busybox /busybox-too
