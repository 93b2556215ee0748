# peers: docker buildah
FROM base
SHELL ["/bin/busybox", "sh", "-euc"]
RUN echo "$0 and $-" > /flags
RUN false || echo went on > /went
SHELL ["/bin/sh", "-c", "eval \"$0\"; echo after >> /after"]
RUN echo first
RUN echo second
SHELL ["/bin/echo"]
RUN only words, no shell
SHELL ["/bin/sh", "-c"]
RUN ["/bin/sh", "-c", "echo \"$HOME\" > /home-of-root"]
RUN ["/bin/mkdir", "-p", "/exec/$HOME/*"]
CMD in shell form
