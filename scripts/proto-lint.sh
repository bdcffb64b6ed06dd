#!/usr/bin/env bash
# Lints the protocol, and compares it with the last release: peers of different ages must
# understand each other.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
.tools/bin/buf lint
if release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null); then
    .tools/bin/buf breaking --against ".git#tag=$release"
    echo "proto: clean, nothing broken since $release"
else
    echo "proto: clean, no release to compare with yet"
fi
