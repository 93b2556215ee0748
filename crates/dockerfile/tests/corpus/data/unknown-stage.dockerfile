FROM scratch AS builder
FROM scratch
COPY --from=Builder /a /a
COPY --from=bulder /a /a
