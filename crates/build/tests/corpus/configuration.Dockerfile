# peers: docker buildah
FROM base
ARG VERSION=1
ENV ONE=1 TWO="two words" THREE=$VERSION
ENV PATH=/opt/bin:$PATH
LABEL plain=x "quoted label"="with \"quotes\"" version=$VERSION
EXPOSE 80 53/udp
VOLUME /data
VOLUME ["/more", "/even more"]
USER app:staff
STOPSIGNAL SIGUSR1
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["/entry", "--flag"]
CMD ["a", "b c"]
ONBUILD RUN echo later
