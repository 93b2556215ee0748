FROM image AS deps
FROM image
WORKDIR /app
ARG CACHE=npm
RUN --mount=type=cache,target=/root/.cache,id=$CACHE,sharing=locked,mode=0700,uid=1000,gid=1000 one
RUN --mount=type=cache,target=./rel two
RUN --mount=type=bind,source=pkg.json,target=pkg.json --mount=target=/all,rw three
RUN --mount=from=deps,src=/out,dst=/in --mount=type=bind,from=alpine:3,target=/alpine four
RUN --mount=type=tmpfs,target=/tmp,size=64m five
RUN --mount=type=secret,id=token --mount=type=secret,id=key,env=KEY --mount=type=secret,id=both,env=B,target=/b,required=true,mode=0444 six
RUN --mount=type=secret,target=/run/own seven
RUN --mount=type=ssh --mount=type=ssh,id=git,required --mount=type=ssh,target=/s eight
RUN --mount="type=cache,target=/quoted dir" --mount=type=cache,\"target=/with,comma\" nine
RUN --mount=type=cache,target=/ro,ro,from=deps,source=/seed ten
RUN --network=none --security=insecure eleven
RUN --network=host ["exec", "form"]
