# peers: docker
FROM base
ENV EMPTY="" SET=value P=/usr/local/lib/libx.so.1
ENV A=${UNSET:-d} B=${EMPTY:-d} C=${EMPTY-d} D=${SET:+alt} E=${EMPTY:+alt} F=${EMPTY+alt} G=${UNSET+alt}
ENV H=${P#*/} I=${P##*/} J=${P%.*} K=${P%%.*} L=${P/lib/LIB} M=${P//lib/LIB} O=${P//[aeiou]/_}
ENV Q=\$SET R="\$SET" S='$SET' T="$SET's" U=a\ b V="a\"b" W=$SET$SET X=${SET}x Y=${UNSET:-${SET:-in}}
ENV AA=${P%/*} AB=${UNSET:-"quoted d"} AC=${SET:-'x y'} AD=a=b=c AE="x=y z"
ENV old form with $SET and  spaces
ENV ONE=1 \
    TWO="2 \
two" \
    # a comment
    THREE=3
LABEL l1=$SET l2='$SET' l3="${UNSET:-x} y"
EXPOSE ${UNSET:-8080} 7000-7002/udp
WORKDIR /${SET}/${P##*/}
STOPSIGNAL ${UNSET:-SIGTERM}
COPY ${UNSET:-a.txt} /${SET}.txt
RUN env | grep -E '^[A-Z]{1,2}=' | sort > /env
USER ${UNSET:-app}
VOLUME /${SET}-volume
