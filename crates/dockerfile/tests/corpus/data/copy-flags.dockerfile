FROM image AS src
FROM scratch
WORKDIR /app
COPY --from=src --chown=1000:1000 --chmod=u=rwX,go=rX --link a b/ dir/
COPY --parents ./x/a.txt x/./y/*.txt ./
COPY --exclude=*.md --exclude=**/test . .
COPY --link=false --from=0 /x /
COPY --from=docker.io/library/busybox:1.36 /bin/busybox /bin/
ARG OWN=web
COPY --chown=${OWN}:${OWN} --chmod=$MODE a b
COPY a.txt ../../../etc/
COPY .. .
COPY /abs /./abs
COPY -- --dashes /x
