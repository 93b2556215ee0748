# peers: docker
# context: wide
FROM base
COPY modes /modes
COPY modes/suid /one
COPY --chown=app modes/sticky /owned
COPY --chown=7 modes/read /number
COPY --chown=0:staff modes/odd /group-only
COPY --chown=8:9 modes/sticky /sticky-of-others
RUN mkdir -m 1777 /sticky && mkdir -m 2755 /setgid && touch /setgid/f && chmod 4711 /one && chmod 000 /number
RUN chmod 755 /sticky && chown -R app:staff /modes
