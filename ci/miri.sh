#!/usr/bin/env bash
# Tests under Miri, with strict provenance. Some read the environment and files: no isolation.
#   ci/miri.sh          everything, under both models of borrowing (long)
#   ci/miri.sh smoke    a part of it, under one (minutes)
#   ci/miri.sh PACKAGE  everything of one package, under both
# MIRI_SEEDS=16 tries that many schedules of each test.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${MIRI_SEEDS:+-Zmiri-many-seeds=0..$MIRI_SEEDS}

miri() {
    cargo +nightly miri test "$@"
}

if [ "${1:-}" = smoke ]; then
    export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation $seeds"
    miri -p mbuf-zone --lib --test zone --test lifetime
    miri -p mbuf --all-features --lib --test queue --test auto_traits --test wait
    exit
fi

for borrows in "" -Zmiri-tree-borrows; do
    echo "== strict provenance, ${borrows:-stacked borrows}"
    export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-disable-isolation $borrows $seeds"
    for package in "${@:-mbuf-zone mbuf}"; do
        # shellcheck disable=SC2086 # the default is a list
        for name in $package; do miri -p "$name" --all-features --lib --tests; done
    done
done
