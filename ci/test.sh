#!/usr/bin/env bash
# Everything that stable Rust can check.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --workspace --all-features
ci/no-std.sh
ci/lint.sh
