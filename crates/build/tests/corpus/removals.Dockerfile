# peers: docker buildah
FROM base
COPY dir /d
RUN rm /d/top.txt && rm -r /d/sub && rm /etc/group
RUN mkdir /d/sub && echo new > /d/sub/new
COPY a.txt /d/top.txt
RUN rm -r /d && mkdir /d && touch /d/only
