# syntax = docker/dockerfile:1
# ESCAPE=\
# check=skip=JSONArgsRecommended,StageNameCasing ; error=true

# syntax=not/this:one
FROM scratch AS Build
CMD a
