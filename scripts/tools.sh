#!/usr/bin/env bash
# Installs the tools that only this project's checks need into `.tools/`, not into the system.
#
#   scripts/tools.sh registry    an image registry, for the end-to-end tests
#   scripts/tools.sh deny        cargo-deny
#   scripts/tools.sh buf         buf, the linter of the protocol
set -euo pipefail

readonly deny_version=0.20.2 buf_version=1.75.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
mkdir -p .tools/bin

registry() {
    ! command -v docker-registry >/dev/null || return 0
    [ ! -x .tools/bin/docker-registry ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "tools: docker-registry is missing: install the CNCF distribution registry" >&2
        exit 1
    fi
    # Unpacked, not installed: the package would start a service for everybody on port 5000.
    echo "tools: fetching docker-registry through apt into .tools/" >&2
    local dir
    dir=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$dir'" EXIT
    (
        cd "$dir"
        apt-get -q download docker-registry >&2 || {
            if [ "$(id -u)" -eq 0 ]; then apt-get -q update >&2; else sudo apt-get -q update >&2; fi
            apt-get -q download docker-registry >&2
        }
        dpkg -x docker-registry_*.deb package
    )
    mv "$dir/package/usr/bin/docker-registry" .tools/bin/
}

deny() {
    if [ "$(.tools/bin/cargo-deny --version 2>/dev/null)" != "cargo-deny $deny_version" ]; then
        echo "tools: building cargo-deny $deny_version into .tools/" >&2
        cargo install --quiet --locked --root .tools --version "$deny_version" cargo-deny
    fi
}

buf() {
    if [ "$(.tools/node_modules/.bin/buf --version 2>/dev/null)" != "$buf_version" ]; then
        "$here/packages.sh" node
        echo "tools: fetching buf $buf_version into .tools/" >&2
        npm install --silent --no-save --no-audit --no-fund --prefix .tools \
            "@bufbuild/buf@$buf_version" >&2
    fi
    ln -sf ../node_modules/.bin/buf .tools/bin/buf
}

for tool in "$@"; do
    case $tool in
    registry | deny | buf) "$tool" ;;
    *)
        echo "tools: unknown tool: $tool" >&2
        exit 2
        ;;
    esac
done
