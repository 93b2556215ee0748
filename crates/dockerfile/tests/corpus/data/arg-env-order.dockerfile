FROM scratch
ENV V=env
ARG V=arg
LABEL a=$V
RUN one
ARG W=arg
ENV W=env
LABEL b=$W
RUN two
ENV A=1 B=$A
ENV C=$A
