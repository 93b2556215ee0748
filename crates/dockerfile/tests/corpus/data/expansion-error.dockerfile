FROM scratch
ENV a="${b:?b has to be given}"
LABEL c=d
