FROM scratch
COPY <<A /a
line
A
LABEL a=b
