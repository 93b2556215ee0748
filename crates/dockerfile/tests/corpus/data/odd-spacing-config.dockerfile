   FROM    scratch	AS   x   
	LABEL	a=b   	c=d
  # comment with space
ENV   A=1    B=2   
maintainer   me  and you 
  COPY   a    b	/c/   
