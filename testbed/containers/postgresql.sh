#!/usr/bin/env bash
# Builds localhost/postgresql:dev, a server and its client, from Debian's packages: postgresql.sh DIR [docker|podman]...
# DIR keeps the root file system, so that the second engine need not build it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
inputs=$(cat "$0" "$here"/postgresql/* "$here/../shell/primary.py" | sha256sum)

# shellcheck source=debian.sh
. "$here/debian.sh"

keep_tree "$dir/postgresql" "$inputs" postgresql,python3 --setup-hook="$here/postgresql/before.sh \"\$1\"" \
    --customize-hook="$here/postgresql/prepare.sh \"\$1\""

for engine in "$@"; do
    "$engine" import --change 'USER 65532:65532' --change 'EXPOSE 5432' --change 'EXPOSE 8008' \
        --change 'ENTRYPOINT ["/usr/local/bin/serve.sh"]' "$tree" localhost/postgresql:dev >/dev/null
done
