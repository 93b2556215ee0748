FROM scratch AS base
ENV V=1
ONBUILD LABEL kept=$V
ONBUILD ENV V=2
FROM base AS used
LABEL after=$V
FROM used
ONBUILD CMD ["x"]
LABEL last=$V
