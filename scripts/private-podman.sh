#!/usr/bin/env bash
# A podman of one's own for demos, tests and benchmarks: its images, containers, locks, networks
# and events are apart from those of the machine's podman, and all of it can be thrown away.
#
#   scripts/private-podman.sh create [ARCHIVE...]   makes one, loads images, prints its folder
#   scripts/private-podman.sh keep FOLDER           protects it from `sweep`
#   scripts/private-podman.sh remove FOLDER         removes its containers, then everything else
#   scripts/private-podman.sh sweep                 removes those whose owner was killed
#
# The folder holds `podman` (a command that is ready to use), `args` and `env` (the same for a
# program, one per line) and, for the caller to fill in, `registries.conf`.
# The owner is the process named in $OWNER, else the caller.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# podman refuses a run root of more than 50 characters, so $TMPDIR is not an option (S47).
readonly prefix=/tmp/mcp.

# Pids are used again; with the start time a process is told apart from its successor.
identity() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name, in parentheses, may hold anything: count fields after it.
    # shellcheck disable=SC2086
    set -- $1 ${stat##*) }
    echo "$1 ${21}"
}

write_settings() {
    local dir=$1 unique octets
    unique=$(printf %s "$dir" | sha256sum | cut -c1-64)
    octets="10.$((128 + 0x${unique:0:2} % 127)).$((0x${unique:2:2}))"

    # `bridge` with an interface and a subnet that no other podman here uses: address pools are
    # kept per storage, so two of them would hand out one address twice.
    mkdir "$dir/n"
    cat >"$dir/n/podman.json" <<EOF
{"name":"podman","id":"$unique","driver":"bridge","network_interface":"mcp${unique:0:8}",
 "created":"2026-01-01T00:00:00Z","subnets":[{"subnet":"$octets.0/24","gateway":"$octets.1"}],
 "ipv6_enabled":false,"internal":false,"dns_enabled":false,"ipam_options":{"driver":"host-local"}}
EOF
    write_containers_conf "$dir"
    echo 'unqualified-search-registries = []' >"$dir/registries.conf"

    printf '%s\n' "--root=$dir/r" "--runroot=$dir/rr" "--tmpdir=$dir/t" \
        "--network-config-dir=$dir/n" >"$dir/args"
    printf '%s\n' "CONTAINERS_CONF=$dir/containers.conf" \
        "CONTAINERS_REGISTRIES_CONF=$dir/registries.conf" >"$dir/env"
    cat >"$dir/podman" <<EOF
#!/bin/sh
exec env $(paste -sd' ' "$dir/env") $(command -v podman) $(paste -sd' ' "$dir/args") "\$@"
EOF
    chmod 755 "$dir/podman"
}

# write_containers_conf FOLDER [LIMITS [RUNTIME]]
write_containers_conf() {
    {
        # Locks in memory are shared by all storages of a user, and a new one resets them for all.
        printf '[engine]\nlock_type = "file"\n'
        [ -z "${3:-}" ] || printf 'runtime = "%s"\n' "$3"
        [ -z "${2:-}" ] || printf '[containers]\ndefault_ulimits = [%s]\n' "$2"
    } >"$1/containers.conf"
}

# Runs a container for real, since what hinders one shows nowhere else: a machine that lacks
# CAP_SYS_RESOURCE cannot raise limits, and some kernels' cgroups suit only one OCI runtime.
find_runtime() {
    local dir=$1 image limits='"nofile=1024:1024", "nproc=1024:1024"' attempt
    image=$("$dir/podman" images --format '{{.ID}}')
    image=${image%%$'\n'*}
    for attempt in default limits runc; do
        case $attempt in
        default) ;;
        limits) write_containers_conf "$dir" "$limits" ;;
        runc)
            "$here/packages.sh" runc
            write_containers_conf "$dir" "$limits" runc
            ;;
        esac
        if "$dir/podman" run --rm --network=none "$image" --version \
            >/dev/null 2>>"$dir/probe.log"; then
            return
        fi
    done
    echo "private-podman: podman cannot run a container on this machine:" >&2
    sed 's/^/    /' "$dir/probe.log" >&2
    return 1
}

create() {
    local dir archive
    dir=$(mktemp -d "${prefix}XXXXXX")
    # shellcheck disable=SC2064
    trap "[ \$? -eq 0 ] || '$0' remove '$dir'" EXIT
    identity "${OWNER:-$PPID}" >"$dir/owner"
    write_settings "$dir"
    for archive in "$@"; do
        "$dir/podman" load --quiet --input "$archive" >/dev/null
    done
    [ $# -eq 0 ] || find_runtime "$dir"
    echo "$dir"
}

remove() {
    local dir=$1 pid
    case $dir in
    "$prefix"?*) ;;
    *)
        echo "private-podman: not a folder of mine: $dir" >&2
        return 2
        ;;
    esac
    [ -d "$dir" ] || return 0
    if [ -x "$dir/podman" ] && [ -d "$dir/r" ]; then
        "$dir/podman" rm --all --force --time 0 >/dev/null 2>&1 || true
    fi
    # What podman could not end is known by the folder's name in its arguments.
    for pid in $(monitors "$dir"); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    unmount_below "$dir"
    if [ "$(id -u)" -ne 0 ]; then
        # Files in layers belong to ids that only the user's own namespace may touch.
        "$dir/podman" unshare rm -rf "$dir/r" "$dir/rr" 2>/dev/null || true
        # The process that holds that namespace.
        if pid=$(cat "$dir/t/pause.pid" 2>/dev/null); then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -rf "$dir"
}

monitors() {
    local process
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2>/dev/null)" = conmon ] &&
            tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qF "$1/"; then
            basename "$process"
        fi
    done
}

unmount_below() {
    local point
    cut -d' ' -f5 /proc/self/mountinfo | grep -F "$1/" | sort -r | while read -r point; do
        umount -l "$point" 2>/dev/null || true
    done || true
}

sweep() {
    local owner pid
    for owner in "$prefix"*/owner; do
        [ -O "$owner" ] || continue
        read -r pid _ <"$owner" || continue
        [ "$(identity "$pid" || true)" = "$(cat "$owner")" ] || remove "$(dirname "$owner")"
    done
}

case "${1:-}" in
create) create "${@:2}" ;;
keep) rm -f "$2/owner" ;;
remove) remove "$2" ;;
sweep) sweep ;;
*)
    echo "usage: private-podman.sh create [ARCHIVE...] | keep FOLDER | remove FOLDER | sweep" >&2
    exit 2
    ;;
esac
