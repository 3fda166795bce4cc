#!/usr/bin/env bash
# Our binaries against what they meet outside. init-copy: docker-registry, oras, skopeo and umoci; nginx; s3s-fs; tar, zip and their like;
# GNU cp and chmod; file systems that are full. log-sidecar: OpenSearch, behind nginx; rsyslog; s3s-fs. proxy-sidecar: PostgreSQL; gRPC and nghttp2. As root, on Debian 12. Starts its own servers on loopback in a temporary folder, and
# ends them.
#
#   testbed/peers/run.sh [oci|images|web|s3|tls|cp|mode|many|disk|schema|opensearch|syslog|objects|postgresql|grpc]...   without arguments: all of them
#
#   BIN_DIR=DIR   take the binaries from DIR instead of compiling it
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cache=$target/peers
work=$(mktemp -d)
mkdir -p "$cache"

# shellcheck source=../shell/report.sh
. "$here/../shell/report.sh"
# shellcheck source=../shell/ports.sh
. "$here/../shell/ports.sh"
# shellcheck source=../shell/certificates.sh
. "$here/../shell/certificates.sh"
# shellcheck source=servers.sh
. "$here/servers.sh"
# shellcheck source=observe.sh
. "$here/observe.sh"
# shellcheck source=oci.sh
. "$here/oci.sh"
# shellcheck source=images.sh
. "$here/images.sh"
# shellcheck source=web.sh
. "$here/web.sh"
# shellcheck source=s3.sh
. "$here/s3.sh"
# shellcheck source=archives.sh
. "$here/archives.sh"
# shellcheck source=cp.sh
. "$here/cp.sh"
# shellcheck source=mode.sh
. "$here/mode.sh"
# shellcheck source=many.sh
. "$here/many.sh"
# shellcheck source=disk.sh
. "$here/disk.sh"
# shellcheck source=schema.sh
. "$here/schema.sh"
# shellcheck source=tls.sh
. "$here/tls.sh"
# shellcheck source=opensearch.sh
. "$here/opensearch.sh"
# shellcheck source=syslog.sh
. "$here/syslog.sh"
# shellcheck source=objects.sh
. "$here/objects.sh"
# shellcheck source=postgresql.sh
. "$here/postgresql.sh"
# shellcheck source=grpc.sh
. "$here/grpc.sh"

clean_up() {
    set +e
    stop_secure
    stop_servers
    unmount_disks
    # A mount that is left over must not be emptied.
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

if [ "$(id -u)" -ne 0 ]; then
    echo "run.sh: has to be run by root" >&2
    exit 1
fi
if [ $# -eq 0 ]; then set -- oci images web s3 tls cp mode many disk schema opensearch syslog objects postgresql grpc; fi

"$here/install.sh" "$cache"
if [ -n "${BIN_DIR:-}" ]; then
    binaries=$BIN_DIR
else
    "$root/images/build.sh" binaries
    binaries=$target/images
fi
install -m 0755 "$binaries/init-copy" "$work/init-copy"
binary=$work/init-copy
# Everybody may come in: some checks are made as another user than root.
chmod 755 "$work"
umask 022
# Names in other letters, for unzip too.
export LC_ALL=C.UTF-8

# Nothing of this machine's own logins and proxies.
export HOME=$work/home PATH=$cache:$PATH INIT_COPY_LOG_FORMAT=text INIT_COPY_PROGRESS=off
mkdir -p "$HOME"
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
unset SSL_CERT_FILE DOCKER_CONFIG REGISTRY_AUTH_FILE ${!AWS_*}
password=$(openssl rand -hex 16)
quietly make_certificates
quietly make_logins

for part in "$@"; do
    case $part in
    oci) check_oci ;;
    images) check_images ;;
    web) check_web ;;
    s3) check_s3 ;;
    tls) check_tls ;;
    cp) check_cp ;;
    mode) check_mode ;;
    many) check_many ;;
    disk) check_disk ;;
    schema) check_schema ;;
    opensearch) check_opensearch ;;
    syslog) check_syslog ;;
    objects) check_objects ;;
    postgresql) check_postgresql ;;
    grpc) check_grpc ;;
    *)
        echo "run.sh: unknown argument '$part': oci, images, web, s3, tls, cp, mode, many, disk, schema, opensearch, syslog, objects, postgresql or grpc" >&2
        exit 2
        ;;
    esac
done
conclude
