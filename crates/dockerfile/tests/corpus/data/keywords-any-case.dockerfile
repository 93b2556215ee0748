from scratch as build
Arg A=1
env B=$A
copy a b
workdir /x
from build
