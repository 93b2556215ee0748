FROM scratch
RUN one
ARG HTTPS_PROXY
RUN two
# build: arg=HTTP_PROXY=http://p:1 arg=https_proxy=http://s:2
