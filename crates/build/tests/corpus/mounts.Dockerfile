# peers: buildah
FROM base AS other
RUN mkdir /from && echo other > /from/f
FROM base
RUN --mount=type=bind,source=dir,target=/in --mount=type=bind,from=other,source=/from,target=/of cat /in/top.txt /of/f > /both
RUN --mount=type=tmpfs,target=/mem touch /mem/x && echo done > /after
RUN --mount=type=cache,target=/cache echo kept > /cache/x && ls /cache > /listed
