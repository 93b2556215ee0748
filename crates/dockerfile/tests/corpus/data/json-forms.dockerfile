FROM scratch
RUN ["one", "two words", "\u00e9", "a\"b"]
RUN [ "not json', 'single" ]
RUN ["unclosed"
RUN [one]
CMD []
ENTRYPOINT ["a"] b
COPY ["with space", "and, comma", "/dest dir/"]
ADD [ "x" , "/y" ]
VOLUME ["/a", "/b c"]
VOLUME /c /d
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
RUN shell
CMD shell form
