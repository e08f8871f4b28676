# Two stages: the toolchain stays behind. The receiver for tests is not in the image.
FROM rust:1.95-bookworm AS build
WORKDIR /build
# What the feature tpm links against.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libtss2-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --release --locked --features tpm --bin local-vault

FROM debian:bookworm-slim
# The authorities that a receiver's certificate is checked against; and libtss2, with its ways to a TPM (device, swtpm).
# A TPM behind tpm2-abrmd needs libtss2-tcti-tabrmd0 too, which brings D-Bus: add it where you use that.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libtss2-esys-3.0.2-0 libtss2-tctildr0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/attesto --no-create-home --shell /usr/sbin/nologin attesto \
    && install --directory --owner=attesto --group=attesto --mode=0700 /var/lib/attesto
COPY --from=build /build/target/release/local-vault /usr/local/bin/local-vault

# No secret belongs into the image: keys come as files of mode 0600 that belong to this user, or from the environment.
USER 10001
# Spool and witness database lie here, unless a config file names other places.
WORKDIR /var/lib/attesto
VOLUME /var/lib/attesto
ENTRYPOINT ["local-vault"]
CMD ["drain-loop"]
