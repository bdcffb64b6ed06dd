#!/usr/bin/env bash
# Runs `cargo test` with the given arguments, the tests that are ignored for want of podman
# included: those find one in the environment.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/private-podman.sh" sweep
mapfile -t archives < <("$here/images.sh")
podman=$(OWNER=$$ "$here/private-podman.sh" create "${archives[@]}")
trap '"$here/private-podman.sh" remove "$podman"' EXIT

MCP_TEST_PODMAN_ARGS=$(paste -sd' ' "$podman/args") \
    MCP_TEST_IMAGE=localhost/hello:v1 \
    CONTAINERS_CONF=$podman/containers.conf \
    "$here/run-tests.sh" "$@" -- --include-ignored
