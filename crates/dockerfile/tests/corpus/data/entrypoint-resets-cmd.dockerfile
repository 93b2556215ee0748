FROM image AS with-base-cmd
ENTRYPOINT ["/new"]
FROM with-base-cmd AS both
CMD ["mine"]
ENTRYPOINT ["/both"]
FROM both
ENTRYPOINT []
