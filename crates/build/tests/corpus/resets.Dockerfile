# peers: docker
FROM base AS with
CMD ["of", "base"]
ENTRYPOINT ["/base-entry"]
EXPOSE 1 2/udp 3-5
ENV A=1 B=2
LABEL l=base
VOLUME /v
FROM with AS entry
ENTRYPOINT ["/new"]
FROM with AS cleared
ENTRYPOINT []
CMD []
FROM with
CMD new command
ENTRYPOINT ["/again", "$A"]
CMD ["last", "one"]
ENV A=3
EXPOSE 9000-9002/tcp 53/udp 2/udp
STOPSIGNAL SIGRTMIN+3
LABEL l=over m="n"
