# check=experimental=all
ARG tag
FROM --platform=linux/amd64 image:${tga} as Web
MAINTAINER someone
WORKDIR app
ENV api_key=secret
ENV old style
EXPOSE 80/TCP
COPY ignored.txt .
CMD run $THING
CMD run again
# build: ignore=ignored.txt arg=tga=1
