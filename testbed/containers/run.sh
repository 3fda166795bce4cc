#!/usr/bin/env bash
# Runs the story of examples/all-four with a real Tomcat and a real Prometheus, under `podman kube play` and Docker Compose,
# and asserts each step from outside. As root, on Debian 12. Starts its own engines in a temporary folder, and ends them.
#
#   testbed/containers/run.sh [specs|podman|compose]...   without arguments: all three
#
#   BIN_DIR=DIR   take the four binaries and `peers` from DIR instead of compiling them
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cache=$target/containers
work=$(mktemp -d)
mkdir -p "$cache"

for part in report engine images observe prometheus specs story; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

prometheus_pid=
docker_pid=
podman_started=
pod_is_up=

clean_up() {
    set +e
    [ -z "$prometheus_pid" ] || stop_prometheus
    [ -z "$pod_is_up" ] || pod_down >/dev/null 2>&1
    [ -z "$podman_started" ] || stop_podman
    [ -z "$docker_pid" ] || stop_docker
    # A mount that is left over must not be emptied.
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

run_story() {
    # shellcheck source=/dev/null
    . "$here/$1.sh"
    subject=$1
    pod_is_up=yes
    expect "the pod is created" - pod_up_logged
    if [ -n "${app:-}" ]; then story; fi
    pod_down >"$work/$1-down.log" 2>&1
    pod_is_up=
    unset app adapter store
}

if [ "$(id -u)" -ne 0 ]; then
    echo "run.sh: has to be run by root" >&2
    exit 1
fi
if [ $# -eq 0 ]; then set -- specs podman compose; fi

"$here/install.sh"
for part in "$@"; do
    case $part in
    specs) check_specs ;;
    podman)
        compile
        podman_started=yes
        start_podman
        build_images podman
        run_story podman
        stop_podman
        podman_started=
        ;;
    compose)
        compile
        start_docker
        build_images docker
        run_story compose
        stop_docker
        docker_pid=
        ;;
    *)
        echo "run.sh: unknown argument '$part': specs, podman or compose" >&2
        exit 2
        ;;
    esac
done
conclude
