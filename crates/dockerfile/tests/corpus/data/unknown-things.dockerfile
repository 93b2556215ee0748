FORM scratch
FROM scratch AS build
COPPY a b
RUN --mont=type=cache true
HEALTHCHECK --intervall=3s CMD x
COPY --from=biuld a b
