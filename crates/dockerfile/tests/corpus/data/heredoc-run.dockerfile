FROM image
RUN <<EOF
echo "one $VAR"
echo two
EOF
RUN <<-EOF
	echo tabs go
		echo all of them
	EOF
RUN <<EOF
#!/usr/bin/env python3
print("script")
EOF
RUN python3 <<EOF
print("stdin")
EOF
RUN cat <<FILE1 > a && cat <<'FILE2' > b
one
FILE1
two $x
FILE2
RUN 3<<EOF cat /dev/fd/3
three
EOF
SHELL ["/bin/bash", "-c"]
RUN <<"EOF"
quoted
EOF
