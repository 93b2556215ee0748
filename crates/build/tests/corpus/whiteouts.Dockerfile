# peers: docker buildah
FROM base
RUN mkdir -p /o/a /o/b && echo 1 > /o/a/1 && echo 2 > /o/b/2 && ln -s a /o/l
RUN rm -r /o && mkdir /o && echo new > /o/new
RUN rm -r /o/new && mkdir -p /o/a && echo again > /o/a/again
RUN rm /etc/passwd && rm -r /home && rm /bin/yes
RUN rm -r /o/a && echo file > /o/a
RUN rm /o/a && mkdir /o/a && echo dir > /o/a/in
RUN rm -r /o/a && ln -s /etc /o/a
COPY dir /o/a2
RUN rm -r /o/a2 && ln -s b /o/a2 && mkdir /o/b
COPY a.txt /o/a2/
