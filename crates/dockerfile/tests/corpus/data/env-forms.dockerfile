FROM scratch
ENV legacy a value  with   spaces
ENV quoted="a b" single='c d' escaped=e\ f empty= "spaced name"=x
ENV json={"a":"b"} list=[1,2]
ENV PATH=/opt/bin:$PATH
ENV twice=1 twice=2
ENV twice 3
LABEL legacy label value
LABEL multi.label1="value1" multi.label2="value2" other="with \"quotes\""
LABEL description="first \
second"
