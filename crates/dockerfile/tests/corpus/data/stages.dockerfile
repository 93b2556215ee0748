ARG A=1
ARG B=b-${A}
FROM scratch AS first
ARG A
ARG B=${A}
ENV E=$A$B
FROM first
ARG C=$B
LABEL l="$A $B $C $E ${NOPE:-none}"
EXPOSE 90 80/udp
VOLUME ["/v", "/w x"]
STOPSIGNAL SIGINT
SHELL ["/bin/x"]
CMD run
# build: arg=A=given
