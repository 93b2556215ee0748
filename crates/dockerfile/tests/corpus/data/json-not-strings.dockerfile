FROM scratch
CMD ["a", 1]
COPY ["a", ["b"]]
RUN [null]
