#!/usr/bin/env bash
# Builds for targets without std: 64-bit and 32-bit.
set -euo pipefail
cd "$(dirname "$0")/.."

for target in thumbv7em-none-eabi x86_64-unknown-none; do
    rustup target add "$target"
    cargo build -p mbuf --no-default-features --target "$target"
    cargo build -p mbuf --no-default-features --features bytes --target "$target"
done
