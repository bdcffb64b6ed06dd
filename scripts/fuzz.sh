#!/usr/bin/env bash
# Fuzzes what reads input: each target of crates/mcp-fuzz for FUZZ_SECONDS (60), two at a time.
#
#   scripts/fuzz.sh [TARGET...]    all targets where none is named
#
# libFuzzer with the coverage instrumentation of stable rustc: the compiler pass is LLVM's own, so no
# nightly is needed. Without a sanitizer: our code is safe Rust, and what is looked for are panics,
# broken promises, time and memory. What the fuzzer learns stays in the target directory; a finding
# is printed, and belongs into crates/mcp-fuzz/corpus/<target>/, where `cargo test` replays it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly corpora=crates/mcp-fuzz/corpus
work=${CARGO_TARGET_DIR:-target}/fuzz
seconds=${FUZZ_SECONDS:-60}
host=$(rustc -vV | sed -n 's/^host: //p')

# The flags are for the host by name, so that build scripts and macros are built without them.
build() {
    local level=-Cllvm-args=-sanitizer-coverage
    RUSTFLAGS="-Cpasses=sancov-module $level-level=4 $level-inline-8bit-counters $level-pc-table \
$level-trace-compares" \
        "${CARGO:-cargo}" build --locked --profile fuzz --target "$host" --target-dir "$work/build" \
        --package mcp-fuzz --features libfuzzer
}

# fuzz TARGET: one line about it; fails where something was found.
fuzz() {
    local target=$1 log=$work/$1.log status=0
    mkdir -p "$work/corpus/$target" "$work/findings"
    MCP_FUZZ_TARGET=$target "$work/build/$host/fuzz/mcp-fuzz" \
        -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=512 -timeout=60 \
        -print_final_stats=1 -artifact_prefix="$work/findings/$target-" \
        "$work/corpus/$target" "$corpora/$target" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        echo "fuzz: $target: FAILED" >&2
        tail -n 40 "$log" >&2
        return 1
    fi
    awk -v target="$target" '
        / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corp = $(i + 1) } }
        /number_of_executed_units/ { runs = $2 }
        /peak_rss_mb/ { rss = $2 }
        END { printf "fuzz: %-14s %10d runs, %5d places of the code reached, %s inputs, %d MB\n", target, runs, cov, corp, rss }
    ' "$log"
}

if [ "${1:-}" = --one ]; then
    fuzz "$2"
    exit
fi

targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    for dir in "$corpora"/*/; do
        targets+=("$(basename "$dir")")
    done
fi
build
printf '%s\0' "${targets[@]}" | xargs -0 -n 1 -P 2 "${BASH_SOURCE[0]}" --one
