FROM scratch
# a comment above
ENV ONE=1 \
    # a comment within
    TWO=2 \
  # another
    THREE="3 \
4"
RUN echo \   
  one \\
RUN echo two \\\
RUN three
LABEL a=1 \

  b=2
