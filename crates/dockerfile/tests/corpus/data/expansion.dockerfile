FROM scratch
ENV file=archive.tar.gz path=/usr/local/bin empty=
LABEL a=${file%.*} b=${file%%.*} c=${path#*/} d=${path##*/} \
      e=${empty:-default} f=${empty-default} g=${unset:+x} h=${file:+x} \
      i=${file/tar/zip} j=${path//\//_} k=\${file} l='${file}' m="${file}" n=$file.x o=${unset:-${file}}
WORKDIR ${path}/../x
WORKDIR relative
USER ${empty:-nobody}:${unset:-nogroup}
VOLUME ${path} "$path/q"
STOPSIGNAL ${unset:-SIGQUIT}
EXPOSE ${unset:-80} $empty 90-92/udp
COPY ${file} ./${file%.gz}/
