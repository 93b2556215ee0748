# peers: docker buildah
# context: wide
FROM base
RUN mkdir -p /over/d /over/was-dir && echo old > /over/d/old && echo old > /over/file && ln -s d /over/alias && touch /over/was-dir/in && mkdir -m 700 /over/private
ADD archives/over.tar /over
