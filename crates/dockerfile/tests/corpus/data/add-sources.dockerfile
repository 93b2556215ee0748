FROM scratch
ADD https://example.org/a/file.tar.gz /tmp/
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d --unpack=true https://example.org/x.tgz /opt
ADD --keep-git-dir=true https://example.org/repo.git#v1.0:docs /docs
ADD --checksum=0123456789abcdef0123456789abcdef01234567 git@example.org:team/repo.git /src
ADD local.tar.xz /
ADD --unpack=false --chown=1:2 --exclude=x local.tar /
ADD https://example.org/repo.git?ref=main&subdir=a /q
