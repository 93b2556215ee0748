# peers: docker buildah
# context: wide
FROM base
COPY tools /
RUN cp /bin/busybox /server && setcap cap_net_bind_service=+ep /server
RUN cp /server /lost && mv /server /moved && setcap cap_net_raw,cap_chown=eip /lost
ADD archives/attributes.tar /added/
COPY a.txt /moved-to
RUN ln /moved /linked && chown app /lost
