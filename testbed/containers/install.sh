#!/usr/bin/env bash
# Installs from Debian what run.sh needs and is not there yet.
set -euo pipefail

packages=(
    docker.io docker-compose
    podman runc netavark aardvark-dns catatonit
    iproute2 iptables mmdebstrap prometheus python3-venv
    binutils ca-certificates curl jq openssl
)
"$(dirname "$0")/../shell/install-packages.sh" "${packages[@]}"
