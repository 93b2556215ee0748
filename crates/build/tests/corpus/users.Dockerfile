# peers: docker buildah
FROM base
RUN mkdir -m 777 /u
USER app
RUN id > /u/name && touch /u/by-name && echo "$HOME" > /u/home
USER 1000
RUN id > /u/number && touch /u/by-number
USER app:staff
RUN id -u > /u/uid && id -g > /u/gid && touch /u/by-both
USER 4711
RUN id -u > /u/unknown && id -g >> /u/unknown && echo "$HOME" >> /u/unknown
USER 12:34
RUN touch /u/by-numbers
USER :50
COPY a.txt /u/copied-is-roots
USER root
ARG WHO=app
USER ${WHO}:0
RUN touch /u/variable
