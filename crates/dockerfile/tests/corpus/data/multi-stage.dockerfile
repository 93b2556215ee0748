# syntax=docker/dockerfile:1
ARG RUST_VERSION=1.80
ARG BASE=debian:${RUST_VERSION:+bookworm}

# build compiles the program
FROM rust:${RUST_VERSION} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src/
RUN cargo build --release

FROM ${BASE} AS runtime
RUN apt-get update && apt-get install -y ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build --chown=app:app --chmod=0755 /src/target/release/app /usr/local/bin/
USER app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/app"]
CMD ["--serve"]
