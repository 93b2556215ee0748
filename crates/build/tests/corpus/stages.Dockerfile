# peers: docker buildah
FROM base AS build
RUN mkdir -p /out/bin && echo made > /out/bin/app && chmod 755 /out/bin/app
FROM base
COPY --from=build /out/ /usr/local/
COPY --from=0 /out/bin/app /app
CMD ["/app"]
