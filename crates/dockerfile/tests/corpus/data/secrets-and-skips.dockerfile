FROM scratch
# check=skip=SecretsUsedInArgOrEnv
ARG DEPLOY_TOKEN
ARG OTHER_TOKEN
