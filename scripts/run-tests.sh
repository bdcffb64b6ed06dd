#!/usr/bin/env bash
# Runs `cargo test` with the given arguments to its end, whatever fails on the way, and closes with
# one line that sums up all test binaries.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT

"${CARGO:-cargo}" test --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# test result: ok. 12 passed; 0 failed; 1 ignored; …
awk -v status="$status" '
    /^test .* \.\.\. FAILED$/ { failures[++count] = $2 }
    /^test result: / { passed += $4; failed += $6; ignored += $8 }
    END {
        print ""
        for (i = 1; i <= count; i++) print "failed: " failures[i]
        if (status != 0 && !failed) print "the run itself failed, with status " status
        if (passed + failed == 0) print "no test ran"
        printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored
        exit passed == 0
    }' "$log"
summed=$?
[ "$status" -eq 0 ] || exit "$status"
exit "$summed"
