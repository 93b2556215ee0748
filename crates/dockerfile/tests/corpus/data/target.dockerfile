FROM scratch AS Dev
ENV MODE=dev
FROM scratch AS prod
ENV MODE=prod
FROM unused-and-$broken{
# build: target=dev
