#!/usr/bin/env bash
# Line coverage of mbuf and mbuf-zone by their tests; fails under 95 percent (MBUF_COVERAGE). Without the border with C, which is
# tested by C programs.
#   ci/coverage.sh           the table
#   ci/coverage.sh --html    pages, in target/llvm-cov
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-llvm-cov >/dev/null || cargo install cargo-llvm-cov --locked --quiet
rustup component add llvm-tools
output=(--summary-only)
if [ "${1:-}" = --html ]; then output=(--html); fi
features=std,bytes,serde,prometheus,publish,log,pressure
cargo llvm-cov -p mbuf -p mbuf-zone --features "mbuf/${features//,/,mbuf/}" --ignore-filename-regex 'crates/(mbuf-testkit|mbuf-ffi|[a-z-]+/tests)/' \
    --fail-under-lines "${MBUF_COVERAGE:-95}" "${output[@]}"
