# a comment ends the directives
# escape=`
FROM scratch
LABEL a=`b
