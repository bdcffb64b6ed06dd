#!/usr/bin/env bash
# Installs the system packages that a group of tasks needs and that are missing, saying so first.
#
#   scripts/packages.sh build     a C compiler, for the crates that bring C along
#   scripts/packages.sh fuzz      a C++ compiler, for libFuzzer
#   scripts/packages.sh podman    podman, its network backend, curl
#   scripts/packages.sh runc      a second OCI runtime, where the default one cannot run here
#   scripts/packages.sh lint      shellcheck
#   scripts/packages.sh node      npm, which buf comes through
#
# Packages come through apt. On another system the script names what to install and fails.
set -euo pipefail

missing=()

# need PACKAGE COMMAND...: the package is missing unless one of the commands is there.
need() {
    local package=$1 command
    shift
    for command in "$@"; do
        # Administrators' folders are not on every user's path.
        if PATH="$PATH:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman" \
            command -v "$command" >/dev/null; then
            return
        fi
    done
    missing+=("$package")
}

for group in "$@"; do
    case $group in
    build)
        if ! command -v cargo >/dev/null; then
            echo "packages: cargo is missing: install Rust with rustup (https://rustup.rs) first" >&2
            exit 1
        fi
        need gcc cc
        [ "${#missing[@]}" -eq 0 ] || missing+=(libc6-dev)
        ;;
    fuzz)
        need g++ c++
        ;;
    podman)
        need podman podman
        need runc crun runc
        need netavark netavark
        need iptables iptables
        need curl curl
        if [ "$(id -u)" -ne 0 ]; then
            need uidmap newuidmap
            need slirp4netns slirp4netns pasta
            need fuse-overlayfs fuse-overlayfs
        fi
        ;;
    runc)
        need runc runc
        ;;
    lint)
        need shellcheck shellcheck
        ;;
    node)
        need npm npm
        ;;
    *)
        echo "packages: unknown group: $group" >&2
        exit 2
        ;;
    esac
done

[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "packages: missing here: ${missing[*]} (names as in Debian)." >&2
    echo "packages: install them with this system's package manager, then run this again." >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "packages: run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "packages: installing through apt: ${missing[*]}" >&2
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
{
    "${install[@]}" update
    "${install[@]}" install --no-install-recommends "${missing[@]}"
} >&2
