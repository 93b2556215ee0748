FROM scratch
ENV A= B="" C=''
ARG D= E=""
LABEL a= b="$A$D"
USER ""
CMD
ENTRYPOINT
