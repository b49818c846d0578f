# An image with the program alone: docker build -t onward . && docker run --rm -v "$PWD:/data" onward train /data/my.toml --runs /data/runs
# Nothing that is built or tested here needs it.
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# What reports name as the program's commit: --build-arg COMMIT=$(git rev-parse HEAD); the image has no git of its own.
ARG COMMIT=""
RUN ONWARD_COMMIT=$COMMIT cargo build --release --locked -p onward-cli --features parquet,language

FROM debian:bookworm-slim
COPY --from=build /src/target/release/onward /usr/local/bin/onward
WORKDIR /data
ENTRYPOINT ["onward"]
