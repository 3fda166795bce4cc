#!/usr/bin/env bash
# Compiles the four binaries, statically, and builds an image localhost/NAME:dev from each.
#
#   images/build.sh [docker|podman|binaries]...   without arguments: every engine that is installed
#
#   BIN_DIR=DIR   take the binaries from DIR instead of compiling them
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-musl
sidecars=(log-sidecar proxy-sidecar adapter-sidecar)
context=${CARGO_TARGET_DIR:-target}/images

# One command a package: in one build of the workspace, features unify and init-copy would link the sidecars' runtime.
compile() {
    local output=${CARGO_TARGET_DIR:-target}/$target name
    # Without rustup, the toolchain has to bring the target itself.
    if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$target"; then
        rustup target add "$target"
    fi
    # ring has C and assembly, which need no C library: any compiler for this processor does.
    export CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-cc}
    # Relative relocations packed: 100 kB less in each binary.
    export RUSTFLAGS=${RUSTFLAGS:--C link-arg=-Wl,-z,pack-relative-relocs}
    # It aborts on a panic, so the tables by which stacks are unwound, a tenth of the binary, are left out.
    RUSTFLAGS="$RUSTFLAGS -C link-arg=-Wl,-T,$PWD/images/no-unwind.ld" \
        cargo build --locked --profile oneshot --target "$target" -p init-copy
    stage "$output/oneshot/init-copy"
    for name in "${sidecars[@]}"; do
        cargo build --locked --profile release --target "$target" -p "$name"
        stage "$output/release/$name"
    done
}

take_prebuilt() {
    local name
    for name in init-copy "${sidecars[@]}"; do
        stage "$BIN_DIR/$name"
    done
}

stage() {
    install -D -m 0555 "$1" "$context/${1##*/}"
}

build_images() {
    local engine=$1 name version
    for name in init-copy "${sidecars[@]}"; do
        version=$("$context/$name" --version)
        "$engine" build --quiet --target "$name" --tag "localhost/$name:dev" \
            --label "org.opencontainers.image.version=${version#"$name" }" \
            --file images/Dockerfile "$context" >/dev/null
        echo "$engine: localhost/$name:dev"
    done
}

engines=("$@")
if [ $# -eq 0 ]; then
    for engine in docker podman; do
        if command -v "$engine" >/dev/null; then engines+=("$engine"); fi
    done
    if [ ${#engines[@]} -eq 0 ]; then
        echo "build.sh: neither docker nor podman is installed; 'images/build.sh binaries' only compiles" >&2
        exit 1
    fi
fi
for engine in "${engines[@]}"; do
    case $engine in
    docker | podman | binaries) ;;
    *)
        echo "build.sh: unknown argument '$engine': docker, podman or binaries" >&2
        exit 2
        ;;
    esac
done

if [ -n "${BIN_DIR:-}" ]; then take_prebuilt; else compile; fi
for engine in "${engines[@]}"; do
    if [ "$engine" != binaries ]; then build_images "$engine"; fi
done
