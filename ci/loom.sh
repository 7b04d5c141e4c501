#!/usr/bin/env bash
# Explores the models of mbuf-zone with loom: one cache, its owner and one collector to the end, larger ones up to a
# bound on preemptions that each sets and LOOM_MAX_PREEMPTIONS replaces. Arguments: names of tests (default: all).
set -euo pipefail
cd "$(dirname "$0")/.."

# A directory of its own, so that the flag does not rebuild everything else.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom
RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" cargo test -p mbuf-zone --release --lib -- --nocapture --test-threads=1 "$@"
RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" cargo test -p mbuf --release --lib -- models::
