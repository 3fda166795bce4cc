#!/usr/bin/env bash
# The four patterns on this machine, without containers. Needs Rust and nothing else.
#
#   examples/quickstart/run.sh          tells the story, then stays up until Ctrl-C
#   examples/quickstart/run.sh --once   tells the story and ends; exit code 0 only if every pattern was seen to work
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --locked --release -p init-copy -p log-sidecar -p proxy-sidecar -p adapter-sidecar
cargo build --locked -p example-app -p quickstart
exec "${CARGO_TARGET_DIR:-target}/debug/quickstart" "${CARGO_TARGET_DIR:-target}" "$@"
