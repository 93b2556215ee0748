# peers: docker
FROM base
ARG PART=parts
ENV ROOT=/srv
WORKDIR relative
RUN pwd > /1
WORKDIR ${ROOT}/$PART/deep
RUN pwd > /2
WORKDIR ../up
RUN pwd > /3
WORKDIR ./here/../there
RUN pwd > /4
WORKDIR /with//double///slashes/
RUN pwd > /5
RUN mkdir /real && ln -s /real /alias
WORKDIR /alias/inner
RUN pwd > /6
COPY a.txt ./
COPY b.txt sub/
WORKDIR "/quoted folder"
COPY a.txt .
WORKDIR /${UNSET:-fallback}
USER app
WORKDIR /made/by/root
RUN touch /tmp/x
