#!/usr/bin/env bash
# Fuzzes each target, or those named, for so many seconds (default 30), under AddressSanitizer.
#   ci/fuzz.sh 600           ten minutes each
#   ci/fuzz.sh 60 ops        one of them
# What is new goes to target/fuzz-corpus; fuzz/corpus is read only. Prints executions and coverage of each.
#   ci/fuzz.sh minimise      makes fuzz/corpus anew: of the fewest files with the same coverage the hundred smallest. What is there for
#                            another reason than coverage goes: put it back, or make it a test
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz-corpus
seconds=${1:-30}
shift || true
targets=("$@")
if [ $# -eq 0 ]; then
    list=$(cargo +nightly fuzz list)
    mapfile -t targets <<<"$list"
fi

for target in "${targets[@]}"; do
    mkdir -p "$work/$target"
    if [ "$seconds" = minimise ]; then
        merged=$(mktemp -d)
        cargo +nightly fuzz run "$target" "$merged" "$work/$target" "fuzz/corpus/$target" -- -merge=1 -max_len=4096
        # The smallest that together reach nearly everything are enough to be kept: the rest is found again in seconds.
        rm -f "fuzz/corpus/$target"/*
        find "$merged" -type f -printf '%s %p\n' | sort -n | sed -n 1,100p | cut -d' ' -f2- | xargs -I{} mv {} "fuzz/corpus/$target/"
        rm -r "$merged"
        continue
    fi
    log=$work/$target.log
    cargo +nightly fuzz run "$target" "$work/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 -max_len=4096 -print_final_stats=1 >"$log" 2>&1 ||
        { grep -vE '^#[0-9]' "$log" | tail -n 80; exit 1; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    echo "$target: $runs executions in ${seconds} s, $cover edges, nothing found"
done
