#!/usr/bin/env bash
# Tests under Miri, with strict provenance. Some read the environment and files: no isolation.
#   ci/miri.sh                         every test file, under every model (hours)
#   ci/miri.sh smoke                   a part of it (minutes)
#   ci/miri.sh MODEL                   every file under stacked, tree, 32-bit or big-endian
#   ci/miri.sh MODEL mbuf/split ...    these files; mbuf/lib is what is tested inside of the crate
# Each file that passes is noted in miri.log of the target folder with the commit, and not run again there: go on by calling it anew.
# MIRI_SEEDS=16 tries that many schedules of each test.
# Under tree borrows, what Miri remembers of pointers that are gone is swept ten times as often as it would be: a sum of bytes in a
# buffer that many others read takes twelve times as long otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

models=(stacked tree 32-bit big-endian)
log=${CARGO_TARGET_DIR:-$PWD/target}/miri.log
commit=$(git describe --always --dirty)

# One test file under one model.
miri() {
    local model=$1 file=$2 flags="-Zmiri-strict-provenance -Zmiri-disable-isolation ${MIRI_SEEDS:+-Zmiri-many-seeds=0..$MIRI_SEEDS}" target=() test
    case $model in
        stacked) ;;
        tree) flags+=" -Zmiri-tree-borrows -Zmiri-provenance-gc=1000" ;;
        32-bit) target=(--target i686-unknown-linux-gnu) ;;
        big-endian) target=(--target s390x-unknown-linux-gnu) ;;
        *) echo "unknown model: $model" >&2; return 2 ;;
    esac
    if [ "${file#*/}" = lib ]; then test=(--lib); else test=(--test "${file#*/}"); fi
    local note="$commit $model $file${MIRI_SEEDS:+ $MIRI_SEEDS seeds}"
    if [[ $commit != *-dirty ]] && grep -qs "^$note: " "$log"; then return; fi
    local start=$SECONDS
    echo "== miri, $note"
    MIRIFLAGS=$flags cargo +nightly miri test "${target[@]}" -p "${file%/*}" --all-features "${test[@]}"
    echo "$note: passed in $((SECONDS - start)) s" >>"$log"
}

if [ "${1:-}" = smoke ]; then
    for file in mbuf-zone/{lib,zone,lifetime} mbuf/{lib,queue,auto_traits,wait}; do miri stacked "$file"; done
    miri 32-bit mbuf-zone/lib
    for file in mbuf-zone/lib mbuf/lib; do miri big-endian "$file"; done
    exit
fi

if [ $# -gt 0 ]; then models=("$1"); shift; fi
files=("$@")
if [ $# -eq 0 ]; then
    for package in mbuf-zone mbuf; do
        files+=("$package/lib")
        for path in "crates/$package/tests"/{*.rs,*/main.rs}; do
            [ -f "$path" ] || continue
            path=${path%/main.rs}
            files+=("$package/$(basename "$path" .rs)")
        done
    done
fi
for model in "${models[@]}"; do
    for file in "${files[@]}"; do miri "$model" "$file"; done
done
