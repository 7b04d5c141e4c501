#!/usr/bin/env bash
# Instructions per operation, by callgrind: the difference between N and 2N rounds. Fails if allocation and free of a
# packet with its cluster take 60 or more.
set -euo pipefail
cd "$(dirname "$0")"

command -v valgrind >/dev/null || { echo "valgrind is not installed: skipped"; exit 0; }
RUSTFLAGS="-C target-cpu=x86-64-v3" cargo build --release --quiet
bench=${CARGO_TARGET_DIR:-target}/release/mbuf-bench
rows=$("$bench" names)

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" run "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : *//p'
}

n=40960
echo "| operation | instructions |"
echo "| --- | --- |"
while read -r row; do
    each=$(( ($(count "$row" $((2 * n))) - $(count "$row" $n) + n / 2) / n ))
    echo "| $row | $each |"
    if [ "$row" = "alloc+free packet with cluster" ] && [ "$each" -ge 60 ]; then
        echo "allocation and free take $each instructions, 60 or more" >&2
        exit 1
    fi
done <<<"$rows"
