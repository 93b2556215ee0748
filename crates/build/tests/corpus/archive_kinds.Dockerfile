# peers: docker
# context: wide
FROM base
ADD archives/kinds.tar /plain/
ADD archives/kinds.tar.gz /gz/
ADD archives/kinds.tar.xz /xz/
ADD archives/kinds.tar.bz2 /bz2/
ADD archives/kinds.tar.gz archives/second.tar /both/
ADD archives/misnamed.txt /misnamed/
ADD archives/not.tar /not/
ADD archives/empty.gz /not/
COPY archives/kinds.tar.gz /copied/
ADD a.txt /plain-file
ADD dir /plain-dir
