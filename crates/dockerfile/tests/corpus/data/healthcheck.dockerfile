FROM scratch AS a
HEALTHCHECK --interval=30s --timeout=1m30s --start-period=5s --start-interval=500ms --retries=3 CMD curl -f http://localhost/ || exit 1
FROM a AS b
HEALTHCHECK NONE
FROM b
healthcheck cmd ["check", "--all"]
