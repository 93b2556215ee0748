# peers: docker
# context: wide
FROM base
COPY ["names/with space.txt", "/target with space/"]
COPY names/ünï☃.txt /uni/ünï☃.txt
COPY names/.dot names/.dotdir /dots/
COPY names/* /star/
COPY names/?dash.txt /question/
COPY names/[a-d]*.txt /class/
COPY names/-dash.txt /-dash.txt
COPY names/[[]brackets].txt /brackets/
COPY names /all
