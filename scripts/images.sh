#!/usr/bin/env bash
# Builds the example images and stores them as archives, so that a fresh podman storage has them
# in an instant: `hello:v1` and `hello:v2`, which answer with their version.
#
#   scripts/images.sh     prints the paths of the archives
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
target=${CARGO_TARGET_DIR:-target}
images=$target/images
host=$(rustc -vV | sed -n 's/^host: //p')

# Static, since the image holds nothing else. With the target named, these flags do not touch what
# is built for the host.
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --quiet --locked --release --package hello-server --target "$host" >&2
binary=$target/$host/release/hello-server

mkdir -p "$images"
exec 9>"$images/lock"
flock 9

archives=()
for version in v1 v2; do
    archive=$images/hello-$version.tar
    archives+=("$archive")
    if [ "$archive" -nt "$binary" ] && [ "$archive" -nt examples/hello-server/Containerfile ]; then
        continue
    fi
    if [ -z "${podman:-}" ]; then
        podman=$("$here/private-podman.sh" create)
        trap '"$here/private-podman.sh" remove "$podman"' EXIT
        mkdir "$podman/context"
        cp "$binary" "$podman/context/hello-server"
    fi
    # Without layers: with them, podman 4.3 takes the first image's version from its cache.
    "$podman/podman" build --quiet --format oci --layers=false --build-arg "VERSION=$version" \
        --file examples/hello-server/Containerfile --tag "localhost/hello:$version" \
        "$podman/context" >/dev/null
    # Under another name first: an archive is there whole or not at all.
    rm -f "$archive.part"
    "$podman/podman" save --quiet --format oci-archive --output "$archive.part" \
        "localhost/hello:$version" >/dev/null
    mv "$archive.part" "$archive"
done
printf '%s\n' "${archives[@]}"
