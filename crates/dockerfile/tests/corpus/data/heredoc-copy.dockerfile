FROM scratch
ARG WHO=world
COPY <<EOF /etc/greeting
hello ${WHO}, it's "quoted" \$not \\ ${WHO:+yes}
EOF
COPY <<'EOF' /etc/raw
hello ${WHO} \$x
EOF
COPY <<-one <<-"two" plain.txt /etc/
	1 $WHO
	one
	2 $WHO
	two
ADD --chmod=644 <<x.conf /etc/conf.d/
a=b
x.conf
COPY << spaced /etc/spaced
text
spaced
