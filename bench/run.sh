#!/usr/bin/env bash
# Runs our binaries and their peers in turn, and writes bench/RESULTS.md and bench/charts/. On Debian as root, it installs the peers.
#
#   bench/run.sh [--quick] [--rounds COUNT] [--fluent-bit FILE] [SCENARIO]...   without scenarios: all; those not run keep their results
#
#   --quick         one round of small work: is it right, and are memory and sizes within bounds? Writes no results
#   --fluent-bit    a peer of log-sidecar that Debian does not have
#   BIN_DIR=DIR     take our binaries from DIR instead of compiling them
#   BENCH_DIR=DIR   temporary data goes below DIR, on the disk to be measured, up to 3 GiB (default: the target directory)
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "${BENCH_DIR:-$target/bench}"
disk=$(mktemp -d "${BENCH_DIR:-$target/bench}/run-XXXXXX")
memory=$(mktemp -d /dev/shm/bench-XXXXXX)
# The benchmark removes its data itself; this is for one that is interrupted.
trap 'rm -rf "$disk" "$memory"' EXIT

install_peers() {
    local command missing=()
    for command in rsync busybox unzip zip; do
        if ! command -v "$command" >/dev/null; then missing+=("$command"); fi
    done
    for command in wrk haproxy; do
        if ! command -v "$command" >/dev/null; then missing+=("$command"); fi
    done
    if ! command -v h2load >/dev/null; then missing+=(nghttp2-client); fi
    if ! command -v nginx >/dev/null; then missing+=(nginx-light); fi
    if ! compgen -G '/usr/lib/*/rsyslog/omelasticsearch.so' >/dev/null; then missing+=(rsyslog rsyslog-elasticsearch); fi
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    echo "installing ${missing[*]}"
    if ! { apt-get update --quiet=2 &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >/dev/null; }; then
        echo "run.sh: WARNING: cannot install ${missing[*]}: what needs them is not measured" >&2
    fi
}

install_peers
images/build.sh binaries
cargo build --locked --release -p bench
"$target/release/bench" --bin-dir "$target/images" --disk "$disk" --memory "$memory" "$@"
