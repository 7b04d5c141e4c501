#!/usr/bin/env bash
# Whether the hot operations still take as many instructions as bench/instructions.txt says. Needs valgrind (skipped
# without, unless --require-valgrind is given) and a C compiler. --update writes the counts there are into the file.
set -euo pipefail
cd "$(dirname "$0")"
RUSTFLAGS="-C target-cpu=x86-64-v3" exec cargo run --release --quiet --features libmbuf -- guard "$@"
