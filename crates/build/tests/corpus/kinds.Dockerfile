# peers: docker buildah
FROM base
RUN mkdir /k && cd /k && echo x > f && ln f hard && ln -s f soft && ln -s /nowhere dangling && mkfifo pipe && chmod 4755 f && mkdir -m 1777 sticky && mkdir -m 2750 group && touch "a name with spaces" && touch $(printf 'n\303\251')
RUN echo y >> /k/f && chmod 600 /k/soft
