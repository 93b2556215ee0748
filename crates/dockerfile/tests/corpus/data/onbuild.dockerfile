FROM image AS base
ONBUILD ARG WHAT=x
ONBUILD COPY --from=extra /a /b
ONBUILD RUN ["make", "it"]
onbuild run <<EOF
echo $WHAT
EOF
FROM image AS extra
FROM base
RUN after
