FROM scratch
ENV A=one EMPTY= TWO="b  c"
LABEL a=$A b=${A} c='$A' d="$A" e=\$A f=\\$A g="\$A" h="\a" i=\a j=a\ b k=${A:-x} l=${EMPTY:-x} m=${NOPE:-$A} \
 n=${A:+y} o=${EMPTY:+y} p="'$A'" q='"' r=${NOPE:-${EMPTY:-deep}} s="${NOPE:-a b}" t=$TWO u=x$A-y v=$ w="" x=''
