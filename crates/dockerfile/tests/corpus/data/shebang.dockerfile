#!/usr/bin/env -S docker build -f
# check=skip=JSONArgsRecommended
# escape=`
FROM scratch
LABEL a=b` \
 c=d
CMD a
