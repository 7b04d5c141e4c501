#!/usr/bin/env bash
# Tests under AddressSanitizer (with leaks), ThreadSanitizer (std built with it, too) and Valgrind.
#   ci/sanitizers.sh                 everything (long)
#   ci/sanitizers.sh smoke           a part of it (minutes)
#   ci/sanitizers.sh address|thread|valgrind   everything of one
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}

# Tests of one test binary or several, of both crates, or a part.
if [ "$what" = smoke ]; then
    zone=(--lib --test zone --test lifetime)
    mbuf=(--lib --test attacks --test threads --test share --test audit)
else
    zone=(--lib --tests)
    mbuf=(--lib --tests)
fi

# Built with a sanitizer, in a folder of its own.
sanitized() {
    local name=$1 flags=$2
    shift 2
    RUSTFLAGS="-Zsanitizer=$name $flags" CARGO_TARGET_DIR="$target/$name" \
        cargo +nightly test --target "$host" -Zbuild-std "$@"
}

# Audited pools hide free buffers from it (`mbuf_asan`).
address() {
    export ASAN_OPTIONS=detect_stack_use_after_return=1
    sanitized address "--cfg mbuf_asan" -p mbuf-zone "${zone[@]}"
    sanitized address "--cfg mbuf_asan" -p mbuf --all-features "${mbuf[@]}"
}

# Its caches take their locks (`mbuf_tsan`): the barriers of the others are loom's business.
thread() {
    # A forked child may have threads: what the test of it forks is not about them.
    export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 die_after_fork=0"
    sanitized thread "--cfg mbuf_tsan" -p mbuf-zone "${zone[@]}"
    sanitized thread "--cfg mbuf_tsan" -p mbuf --all-features "${mbuf[@]}"
}

# What is checked there and not elsewhere: the code as it ships, optimised, on the allocator of the system. What the tests in
# `damage` write is free, which it finds before the audit does. Threads take turns there: a test in which they wait for each other
# takes minutes, and is the other two's.
valgrind_() {
    local tests=(--test external --test share --test audit)
    [ "$what" = smoke ] || tests+=(--test attacks --test alloc --test defects --test failure --test split --test join --test write --test header_tags)
    # Valgrind 3.19 knows no AVX-512: for any x86-64.
    local messages binaries
    messages=$(CARGO_TARGET_DIR="$target/valgrind" cargo test --release -p mbuf --all-features "${tests[@]}" --no-run --message-format=json)
    mapfile -t binaries < <(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages")
    [ $((2 * ${#binaries[@]})) -eq ${#tests[@]} ] || { echo "${#binaries[@]} programs of ${tests[*]}" >&2; return 1; }
    for binary in "${binaries[@]}"; do
        echo "== valgrind $(basename "$binary")"
        valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite "$binary" --test-threads=1 \
            --skip damage:: --skip while_threads_work --quiet </dev/null
    done
}

case $what in
    address) address ;;
    thread) thread ;;
    valgrind) valgrind_ ;;
    # One by one: in a list with && a function goes on behind what fails in it.
    all | smoke) address; thread; valgrind_ ;;
    *) echo "unknown: $what" >&2; exit 2 ;;
esac
