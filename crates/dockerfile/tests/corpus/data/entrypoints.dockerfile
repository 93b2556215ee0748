FROM scratch AS a
CMD ["a"]
ENTRYPOINT ["/new"]
FROM a AS b
ENTRYPOINT run it
FROM b
CMD more of it
