FROM scratch
ENV ONE=1 \
    # a comment within
    TWO=2 \
  # another
    THREE="3 \
4"
LABEL a=1 \

  b=2
LABEL c=\\\\ \
 d=e
