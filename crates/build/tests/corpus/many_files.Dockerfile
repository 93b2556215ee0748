# peers: docker buildah
# context: wide
FROM base
COPY many /many
RUN find /many -name '*7' | wc -l > /count && rm -r /many/d1 /many/d2?
