# peers: docker
# context: wide
FROM base
COPY --link a.txt /linked/deep/a
COPY --link --chown=5:6 dir /linked-dir
COPY --chmod=640 a.txt dir /chmod/
COPY --chmod=u=rwX,go=rX modes/private /symbolic
COPY --parents dir/sub/deep.txt a.txt /parents/
COPY --parents ./dir/./sub/deep.txt /pivot/
COPY --exclude=*.txt --exclude=sub dir /excluded/
COPY --exclude=**/deep.txt dir /excluded-deep/
ADD --chmod=700 b.txt /added
