FROM scratch
WORKDIR /
WORKDIR /a//b/../c/
WORKDIR d
WORKDIR ..
RUN here
WORKDIR "/quoted path"
WORKDIR /with space
