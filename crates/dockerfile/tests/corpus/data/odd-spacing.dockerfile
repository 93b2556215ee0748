   FROM    scratch	AS   x   
	RUN	echo   a  	b
  # comment with space
ENV   A=1    B=2   
  COPY   a    b	/c/   
