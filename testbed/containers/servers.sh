#!/usr/bin/env bash
# Builds localhost/nginx:dev, localhost/registry:dev, and localhost/debian:dev, which has a shell and curl, from Debian's packages: servers.sh DIR [docker|podman]...
# DIR keeps the root file system, so that the second engine need not build it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
inputs=$(cat "$0" "$here"/servers/* | sha256sum)

# shellcheck source=debian.sh
. "$here/debian.sh"

keep_tree "$dir/servers" "$inputs" nginx-light,docker-registry,curl --customize-hook="$here/servers/prepare.sh \"\$1\""

for engine in "$@"; do
    "$engine" import --change 'USER 65532:65532' --change 'EXPOSE 8080' \
        --change 'CMD ["/usr/sbin/nginx", "-e", "stderr", "-c", "/etc/nginx/site.conf"]' "$tree" localhost/nginx:dev >/dev/null
    "$engine" import --change 'USER 65532:65532' --change 'EXPOSE 5000' \
        --change 'CMD ["/usr/bin/docker-registry", "serve", "/etc/docker/registry/plain.yml"]' "$tree" localhost/registry:dev >/dev/null
    "$engine" import --change 'USER 65532:65532' "$tree" localhost/debian:dev >/dev/null
done
