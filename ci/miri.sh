#!/usr/bin/env bash
# Tests under Miri, with strict provenance. Some read the environment and files: no isolation.
#   ci/miri.sh                         all of it (hours)
#   ci/miri.sh smoke                   a part of it (minutes)
#   ci/miri.sh MODEL                   under stacked or tree every test file; under 32-bit or big-endian all of mbuf-zone, and of mbuf
#                                      what depends on how wide numbers are and in which order they lie, not its pools' policies
#   ci/miri.sh MODEL mbuf/split ...    these files; mbuf/lib is what is tested inside of the crate
# Each file that passes is noted in miri.log of the target folder with the commit, and not run again there: go on by calling it anew.
# MIRI_SEEDS=16 tries that many schedules of each test.
# Under tree borrows, what Miri remembers of pointers that are gone is swept ten times as often as it would be: a sum of bytes in a
# buffer that many others read takes twelve times as long otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

# The stack of a panic, which many tests expect, takes seconds there.
export RUST_BACKTRACE=0

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

# What policies do with pools, in other models than those of memory: said by threads, texts and figures.
policies=" audit budget defects failure faults formats leak_example policy_attacks policy_stress publish readme reservation resident \
sizes soak stats steady_state stress threads tunables tuning wait warning "

files_of() {
    local package path name
    for package in mbuf-zone mbuf; do
        echo "$package/lib"
        for path in "crates/$package/tests"/{*.rs,*/main.rs}; do
            [ -f "$path" ] || continue
            path=${path%/main.rs}
            name=$(basename "$path" .rs)
            case $1:$package in
                32-bit:mbuf | big-endian:mbuf) [[ $policies == *" $name "* ]] || echo "$package/$name" ;;
                *) echo "$package/$name" ;;
            esac
        done
    done
}

if [ $# -gt 0 ]; then models=("$1"); shift; fi
for model in "${models[@]}"; do
    files=("$@")
    if [ $# -eq 0 ]; then mapfile -t files < <(files_of "$model"); fi
    for file in "${files[@]}"; do miri "$model" "$file"; done
done
