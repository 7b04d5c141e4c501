#!/usr/bin/env bash
# Runs tests under Miri, with both models of borrowing. Arguments: packages (default: mbuf-zone).
# MIRI_SEEDS=16 tries that many schedules of each test.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
for package in "${@:-mbuf-zone}"; do packages+=(-p "$package"); done
seeds=${MIRI_SEEDS:+-Zmiri-many-seeds=0..$MIRI_SEEDS}

for borrows in "" -Zmiri-tree-borrows; do
    echo "== strict provenance, ${borrows:-stacked borrows}"
    MIRIFLAGS="-Zmiri-strict-provenance $borrows $seeds" \
        cargo +nightly miri test "${packages[@]}" --lib --tests
done
