#!/usr/bin/env bash
# The story of MCP in a minute: a node, a definition, a deploy, a crash, an alert, and back:
# by hand, then by the agent itself.
#
#   scripts/demo.sh          tells it and leaves nothing behind
#   KEEP=1 scripts/demo.sh   leaves node and service running, and says how to use and remove them
#
# `make demo` builds what this needs. Every command is printed before it runs, and its outcome is
# checked: the exit status is non-zero when any step did not happen.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
target=$(realpath "${CARGO_TARGET_DIR:-target}")
readonly here target patience=30

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' dim='' plain=''
fi

work='' podman='' agent='' steps=0 started=$SECONDS

# --- telling -----------------------------------------------------------------------------------

title() {
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

show() {
    local word line=
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=@^,+-]*) line+=" '${word//\'/\'\\\'\'}'" ;;
        *) line+=" $word" ;;
        esac
    done
    printf '%s$%s%s\n' "$bold" "$line" "$plain"
}

# run COMMAND...: shows a command, runs it, and ends the story when it fails.
run() {
    show "$@"
    "$@" || fail "this failed with status $?: $*"
}

# happened WHAT: one more thing that was promised and has been seen.
happened() {
    steps=$((steps + 1))
    printf '%s  ✓ %s%s\n' "$dim" "$*" "$plain"
}

fail() {
    printf '\n%sThe demo failed: %s%s\n' "$bold" "$*" "$plain" >&2
    if [ -s "$work/agent.log" ]; then
        echo "The agent's last words:" >&2
        tail -n 20 "$work/agent.log" | sed 's/^/    /' >&2
    fi
    exit 1
}

# --- looking -----------------------------------------------------------------------------------

# until_true WHAT COMMAND...: looks until it holds.
until_true() {
    local what=$1 deadline=$((SECONDS + patience))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "waited $patience s in vain: $what"
        sleep 0.02
    done
    happened "$what"
}

# status_is CODE TEXT: `mcp status` ends with CODE (0 fine, 3 drift) and says TEXT.
status_is() {
    local code=0 text
    text=$(mcp status hello --exit-code) || code=$?
    [ "$code" -eq "$1" ] && grep -qi -- "$2" <<<"$text"
}

answers() {
    curl --silent --fail --max-time 5 "http://127.0.0.1:$1/"
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

started_at() {
    podman inspect --format '{{.State.StartedAt}}' "$1"
}

is_newer() {
    [ "$(started_at "$1")" != "$2" ]
}

why_says() {
    mcp why hello/web | grep -q -- "$1"
}

is_stopped() {
    [ "$(podman inspect --format '{{.State.Status}}' "$1")" = exited ]
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        listens "$port" || break
    done
    echo "$port"
}

milliseconds() {
    date +%s%3N
}

# --- tidying -----------------------------------------------------------------------------------

tidy() {
    local status=$?
    trap - EXIT INT TERM
    if [ "$status" -eq 0 ] && [ -n "${KEEP:-}" ]; then
        exit 0
    fi
    if [ -n "$agent" ] && kill -TERM "$agent" 2>/dev/null; then
        wait "$agent" 2>/dev/null || true
    fi
    [ -z "$podman" ] || "$here/private-podman.sh" remove "$podman"
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

keep() {
    "$here/private-podman.sh" keep "$podman"
    cat >"$work/remove" <<EOF
#!/bin/sh
kill $agent 2>/dev/null
while [ -e /proc/$agent/exe ]; do sleep 0.1; done
'$here/private-podman.sh' remove '$podman'
rm -rf '$work'
EOF
    chmod 755 "$work/remove"
    title "Left running, as asked (KEEP)"
    cat <<EOF
use it:     export PATH=$podman:$target/release:\$PATH XDG_CONFIG_HOME=$XDG_CONFIG_HOME
            mcp status
            curl http://127.0.0.1:$web/
            podman kill hello-web; cat $work/alerts/*
agent log:  $work/agent.log
remove it:  $work/remove
EOF
}

# --- the stage ---------------------------------------------------------------------------------

# A command that the agent executes on an alert: it keeps what it was told, and when.
write_alert_command() {
    mkdir "$work/alerts"
    cat >"$work/alert.sh" <<EOF
#!/bin/sh
now=\$(date +%s%3N)
file=$work/alerts/\$MCP_COMPONENT.\$MCP_ALERT_TYPE.\$MCP_ALERT_EVENT
{
    echo "alert \$((now - \$(cat $work/killed 2>/dev/null || echo "\$now"))) ms after the kill was ordered"
    env | grep '^MCP_' | sort
} >"\$file.part"
mv "\$file.part" "\$file"
EOF
    chmod 755 "$work/alert.sh"
}

set_the_stage() {
    trap tidy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    local archives
    mapfile -t archives < <("$here/images.sh")
    [ "${#archives[@]}" -eq 2 ] || fail "the example images could not be built"
    work=$(mktemp -d /tmp/mcp-demo.XXXXXX)
    podman=$(OWNER=$$ "$here/private-podman.sh" create "${archives[@]}")
    podman_program=$(command -v podman)
    # A setting of whoever runs this is not to change the story.
    local name
    for name in $(compgen -e MCP_ || true); do unset "$name"; done
    export PATH="$podman:$target/release:$PATH" XDG_CONFIG_HOME="$work/workstation"
    services=$XDG_CONFIG_HOME/mcp/services
    port=$(free_port) web=$(free_port) greeter=$(free_port)
    write_alert_command
}

define_the_service() {
    mkdir -p "$services"
    sed -e "s/127.0.0.1:8080:/127.0.0.1:$web:/" -e "s/127.0.0.1:8081:/127.0.0.1:$greeter:/" \
        -e "1d" examples/demo/hello.toml >"$services/hello.toml"
}

# --- the story ---------------------------------------------------------------------------------

make_a_node() {
    title "A node: CA, certificate, configuration, registry, first token"
    local options=() line
    while read -r line; do options+=("--runtime-arg=$line"); done <"$podman/args"
    while read -r line; do options+=("--runtime-env=$line"); done <"$podman/env"
    run mcp-agent init --node-name demo --address "127.0.0.1:$port" \
        --dir "$work/node" --run-dir "$work/run" --service-root "$work/srv" \
        --container-runtime "$podman_program" "${options[@]}" \
        --alert-command "$work/alert.sh" --bundle "$work/demo.bundle"

    start_agent
}

start_agent() {
    printf '%s$ mcp-agent server --config %s &%s\n' "$bold" "$work/node/mcp-agent.toml" "$plain"
    # A session of its own, so that it outlives this one where it is to be kept.
    setsid mcp-agent server --config "$work/node/mcp-agent.toml" >>"$work/agent.log" 2>&1 &
    agent=$!
    until_true "the agent listens on 127.0.0.1:$port" listens "$port"
}

say_what_should_be() {
    title "The workstation: take the bundle, say what should run"
    run mcp node add --bundle "$work/demo.bundle"
    define_the_service
    run cat "$services/hello.toml"
    run mcp sync
    run mcp status hello
    until_true "intent is there, nothing runs: drift, removed" status_is 3 removed
}

deploy_it() {
    title "Deploy: done when it was seen running"
    run mcp deploy hello -m "first deploy"
    run mcp ps
    run mcp status hello
    until_true "no drift" status_is 0 running
    run curl --silent --show-error "http://127.0.0.1:$web/"
    until_true "the service answers" answers "$web"
    until_true "so does its other component" answers "$greeter"
}

break_it() {
    title "Somebody breaks it"
    local alert=$work/alerts/web.drift.opened
    milliseconds >"$work/killed"
    run podman kill hello-web
    until_true "the alert command ran" test -e "$alert"
    cat "$alert"
    delay=$(sed -n '1s/^alert \([0-9]*\) .*/\1/p' "$alert")
    run mcp status hello
    until_true "status says drift, exited" status_is 3 exited
    run mcp why hello/web
    until_true "why says what would mend it, and that nobody may" why_says "auto is off"
}

mend_it() {
    title "And back"
    run mcp start hello
    until_true "it answers again" answers "$web"
    until_true "no drift" status_is 0 running
    until_true "the alert command was told that it is over" \
        test -e "$work/alerts/web.drift.closed"

    local before
    before=$(started_at hello-web)
    show mcp restart hello "&"
    mcp restart hello >"$work/restart" 2>&1 &
    local restart=$!
    run mcp wait hello
    wait "$restart" || fail "this failed: mcp restart hello: $(cat "$work/restart")"
    [ "$(started_at hello-web)" != "$before" ] || fail "restart did not start it anew"
    happened "restarted"
}

let_it_mend() {
    title "Let the agent mend it: [reconcile] auto = true"
    run sed -i 's/^# auto = false/auto = true/' "$work/node/mcp-agent.toml"
    kill -TERM "$agent"
    wait "$agent" || fail "the agent did not stop in good order"
    happened "the agent has stopped, its containers have not"
    start_agent

    local before
    before=$(started_at hello-web)
    run podman kill hello-web
    until_true "it comes back by itself" is_newer hello-web "$before"
    until_true "and answers" answers "$web"
    run mcp status hello
    until_true "status says that auto-reconcile is on" status_is 0 "auto-reconcile is on"
    run mcp why hello/web
    until_true "why says who brought it back" why_says "of auto-reconcile succeeded"
}

stop_it() {
    title "And stop"
    run mcp stop hello
    until_true "web is stopped" is_stopped hello-web
    until_true "greeter is stopped" is_stopped hello-greeter
    run grep '^active' "$services/hello.toml"
    grep -q '^active = false' "$services/hello.toml" || fail "the definition does not say so"
    grep -q '^# Not restarted' "$services/hello.toml" || fail "the definition lost a comment"
    happened "the definition says so, its comments are still there"
    run mcp status hello
    until_true "a stop that was meant is no drift" status_is 0 stopped
}

sum_up() {
    title "Summary"
    echo "$steps of $steps things happened as promised, in $((SECONDS - started)) s."
    echo "From ordering the kill to the alert command: $delay ms."
    if [ -n "${KEEP:-}" ]; then
        run mcp start hello
        keep
    else
        echo "Nothing is left behind. KEEP=1 make demo leaves it running to play with."
    fi
}

set_the_stage
make_a_node
say_what_should_be
deploy_it
break_it
mend_it
let_it_mend
stop_it
sum_up
