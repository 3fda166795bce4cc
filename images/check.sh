#!/usr/bin/env bash
# Checks what images/build.sh has built, and prints a table of sizes.
#
#   images/check.sh [docker|podman|binaries]...   without arguments: every engine that is installed
#
# A binary is static and within its budget (images/budgets: name and bytes). An image holds that one file, names a numeric
# user other than root, and runs as any user, without capabilities, on a read-only root file system.
set -euo pipefail
cd "$(dirname "$0")/.."

context=${CARGO_TARGET_DIR:-target}/images
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

fail() {
    echo "FAIL $*" >&2
    failures=$((failures + 1))
}

check_binary() {
    local where=$1 name=$2 file=$3 budget=$4 bytes headers
    bytes=$(stat -c %s "$file")
    # Captured, not piped: a quiet grep closes the pipe early, and pipefail would call that a failure.
    headers=$(readelf --wide --program-headers --dynamic "$file")
    if grep -Eq 'INTERP|\(NEEDED\)' <<<"$headers"; then
        fail "$where $name: not static: $(grep -E 'INTERP|\(NEEDED\)' <<<"$headers" | head -n 1)"
    fi
    if [ "$bytes" -gt "$budget" ]; then
        fail "$where $name: $bytes bytes are over the budget of $budget"
    fi
    printf '%-9s %-16s %9d %9d %4d%%\n' "$where" "$name" "$bytes" "$budget" $((bytes * 100 / budget))
}

# The image as it is saved, not a container's export: engines add their mount points to the latter.
unpack_image() {
    local engine=$1 image=$2 into=$3 layer
    mkdir -p "$into/saved" "$into/root"
    "$engine" save "$image" | tar -x -C "$into/saved" || return
    jq -r '.[0].Layers[]' "$into/saved/manifest.json" >"$into/layers" || return
    while read -r layer; do
        tar -t -f "$into/saved/$layer" >>"$into/files" || return
        tar -x -f "$into/saved/$layer" -C "$into/root" || return
    done <"$into/layers"
}

check_image() {
    local engine=$1 name=$2 budget=$3 image=localhost/$2:dev into=$scratch/$1/$2 user entrypoint said
    if ! unpack_image "$engine" "$image" "$into"; then
        fail "$engine $name: cannot unpack $image: build it with images/build.sh $engine"
        return
    fi
    if [ "$(cat "$into/files")" != "$name" ]; then
        fail "$engine $name: the image holds not just the binary: $(paste -sd ' ' "$into/files")"
    fi
    user=$("$engine" image inspect --format '{{.Config.User}}' "$image")
    if [ "$user" != 65532:65532 ]; then
        fail "$engine $name: user '$user' instead of 65532:65532"
    fi
    entrypoint=$("$engine" image inspect --format '{{json .Config.Entrypoint}}' "$image")
    if [ "$entrypoint" != "[\"/$name\"]" ]; then
        fail "$engine $name: entrypoint $entrypoint instead of [\"/$name\"]"
    fi
    if ! said=$("$engine" run --rm --user 12345:12345 --read-only --cap-drop ALL --network none \
        --security-opt no-new-privileges "$image" --version 2>&1); then
        fail "$engine $name: --version as user 12345, read-only, without capabilities: $said"
    fi
    check_binary "$engine" "$name" "$into/root/$name" "$budget"
}

engines=("$@")
if [ $# -eq 0 ]; then
    for engine in docker podman; do
        if command -v "$engine" >/dev/null; then engines+=("$engine"); fi
    done
    if [ ${#engines[@]} -eq 0 ]; then
        echo "check.sh: neither docker nor podman is installed; 'images/check.sh binaries' checks what was compiled" >&2
        exit 1
    fi
fi
for tool in readelf jq "${engines[@]}"; do
    if [ "$tool" != binaries ] && ! command -v "$tool" >/dev/null; then
        echo "check.sh: $tool is not installed" >&2
        exit 1
    fi
done

printf '%-9s %-16s %9s %9s %5s\n' where name bytes budget used
for engine in "${engines[@]}"; do
    while read -r name budget; do
        if [ "$engine" = binaries ]; then
            check_binary binaries "$name" "$context/$name" "$budget"
        else
            check_image "$engine" "$name" "$budget" </dev/null
        fi
    done <images/budgets
done

if [ "$failures" -gt 0 ]; then
    echo "$failures failed" >&2
    exit 1
fi
