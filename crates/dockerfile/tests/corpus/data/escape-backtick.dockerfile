# escape=`
FROM scratch
WORKDIR C:\dir\
ENV A=b`
 C=`$A
COPY one `
  two `
  \dest\
RUN dir C:\ `
  && echo done
