#!/usr/bin/env bash
# Installs those of the named Debian packages that are not there yet: install-packages.sh PACKAGE...
set -euo pipefail

missing=()
for package in "$@"; do
    if [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing+=("$package")
    fi
done
# Without package lists, nothing could be found out about the mirrors either.
if [ ${#missing[@]} -gt 0 ] || [ -z "$(apt-get indextargets 'Origin: Debian')" ]; then
    apt-get update --quiet=2
fi
if [ ${#missing[@]} -gt 0 ]; then
    # In runlevel 1 no package starts its daemon: whoever needs one starts it with directories of its own.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >/dev/null
fi
