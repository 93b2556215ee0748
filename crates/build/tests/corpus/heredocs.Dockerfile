# peers: docker
FROM base
RUN <<EOF
echo one > /run
echo "two $HOME" >> /run
EOF
RUN <<'EOF' /bin/sh -e
echo "quoted $HOME" > /quoted
EOF
RUN <<-EOF
	echo tabs > /tabs
	EOF
RUN <<EOF
#!/bin/busybox sh
echo "$(readlink /proc/$$/exe)" > /script
EOF
RUN cat > /cat <<ONE && cat >> /cat <<TWO
first
ONE
second
TWO
ARG NAME=expanded
COPY <<EOF <<"RAW" /files/
$NAME ${NAME:+set} \$NAME
EOF
$NAME stays
RAW
COPY --chmod=755 --chown=app:staff <<-script.sh /bin/script.sh
	#!/bin/sh
	  echo hi
	script.sh
ADD <<EOF /empty
EOF
