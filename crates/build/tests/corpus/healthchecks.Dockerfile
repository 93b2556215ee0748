# peers: docker
FROM base AS a
HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=2s --retries=5 CMD ["/bin/true", "a b"]
FROM base AS b
HEALTHCHECK CMD true
HEALTHCHECK NONE
FROM a
COPY --from=b /bin/true /t
STOPSIGNAL 9
