# escape=`
# peers: docker
FROM base
ENV WINDOWS=C:\dir\file TAIL=c:\
RUN echo one `
    && echo two `
    # in between
    && echo three > /lines
RUN echo 'a\b' > /back
COPY a.txt `
     b.txt `
     /many/
LABEL path="C:\Program Files\" quoted="a`"b"
