#!/usr/bin/env bash
# Fuzzes what init-copy, log-sidecar and proxy-sidecar read from others, on stable Rust; fails when a target finds something.
#
#   fuzz/run.sh [--seconds N] [target]...   N seconds for each target (default 10); without targets: all of them
set -euo pipefail
cd "$(dirname "$0")/.."

export RUST_BACKTRACE=0
seconds=10
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds)
            seconds=${2:?--seconds needs a number}
            shift 2
            ;;
        -*)
            sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
        *)
            targets+=("$1")
            shift
            ;;
    esac
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "--seconds $seconds is no number from 1" >&2; exit 2; }

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list)
fi

# Sanitizers need a nightly compiler, and look for what safe Rust has not: overflows and assertions are checked without them.
cargo fuzz build --sanitizer none

# Long enough for a few members with their headers; a path may have 4095 bytes.
max_len() {
    case $1 in
        tar_walk) echo 16384 ;;
        archive_path) echo 8300 ;;
        *) echo 4096 ;;
    esac
}

failed=()
for target in "${targets[@]}"; do
    printf '\n--- %s, %s s\n' "$target" "$seconds"
    options=(-max_total_time="$seconds" -max_len="$(max_len "$target")" -rss_limit_mb=512 -timeout=5 -print_final_stats=1)
    dictionary=fuzz/dictionaries/$target.dict
    [ ! -f "$dictionary" ] || options+=(-dict="$dictionary")
    log=$(mktemp)
    # The limit of resident memory does not see what is asked for and not touched; the one of addresses does.
    if (ulimit -v $((4 << 20)) && cargo fuzz run --sanitizer none "$target" -- "${options[@]}") >"$log" 2>&1; then
        grep -E '^(Done|stat::(average_exec_per_sec|peak_rss_mb))|^#[0-9]+.DONE' "$log"
    else
        failed+=("$target")
        # What was asserted, then what cargo-fuzz says about the input and how to reproduce it, without its bytes as numbers.
        grep -A 4 -E 'panicked at|ERROR: libFuzzer' "$log" || true
        sed -n '/^Failing input/,/^Error/p' "$log" | grep -vE '^(Output of.*|[[:space:]]*\[.*)?$' || tail -n 40 "$log"
    fi
    rm -f "$log"
done

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nfailed: %s\n' "${failed[*]}" >&2
    exit 1
fi
