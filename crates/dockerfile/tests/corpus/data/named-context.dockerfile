FROM base AS build
RUN make
FROM build
COPY --from=assets /a /b
RUN --mount=from=base,target=/base x
# build: context=assets context=base
