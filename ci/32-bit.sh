#!/usr/bin/env bash
# All tests of mbuf-zone, mbuf and mbuf-io on a 32-bit machine, which an x86-64 is, too (gcc-multilib). `libmbuf` is for 64 bits.
set -euo pipefail
cd "$(dirname "$0")/.."

target=i686-unknown-linux-gnu
rustup target add "$target"
cargo test --target "$target" -p mbuf-zone -p mbuf -p mbuf-io --all-features
