#!/usr/bin/env bash
# Installs from Debian what run.sh needs and is not there yet.
set -euo pipefail

packages=(
    docker.io docker-compose
    podman runc netavark aardvark-dns catatonit
    iptables mmdebstrap prometheus python3-venv
    binutils ca-certificates curl jq
)
missing=()
for package in "${packages[@]}"; do
    if [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing+=("$package")
    fi
done
# Without package lists, nothing could be found out about the mirrors either.
if [ ${#missing[@]} -gt 0 ] || [ -z "$(apt-get indextargets 'Origin: Debian')" ]; then
    apt-get update --quiet=2
fi
if [ ${#missing[@]} -gt 0 ]; then
    # In runlevel 1 no package starts its daemon: run.sh starts its own, with their own directories.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >/dev/null
fi
