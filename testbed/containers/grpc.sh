#!/usr/bin/env bash
# Builds localhost/grpc:dev, clients and a server of gRPC's own library for Python, from Debian's packages: grpc.sh DIR [docker|podman]...
# DIR keeps the root file system, so that the second engine need not build it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
inputs=$(cat "$0" "$here/../shell/calls.py" | sha256sum)

# shellcheck source=debian.sh
. "$here/debian.sh"

keep_tree "$dir/grpc" "$inputs" python3-grpcio \
    --customize-hook="install -D -m 0755 '$here/../shell/calls.py' \"\$1/usr/local/bin/calls\""

for engine in "$@"; do
    "$engine" import --change 'USER 65532:65532' --change 'EXPOSE 50051' --change 'ENTRYPOINT ["/usr/local/bin/calls"]' \
        "$tree" localhost/grpc:dev >/dev/null
done
