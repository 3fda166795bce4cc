#!/usr/bin/env bash
# Runs the story of examples/all-four with a real Tomcat and a real Prometheus, under `podman kube play` and Docker Compose,
# and asserts each step from outside. As root, on Debian 12. Starts its own engines in a temporary folder, and ends them.
#
# The part `examples` does the same with the examples of examples/init-copy, and under Docker Compose with those of examples/log-sidecar
# and examples/proxy-sidecar.
#
#   testbed/containers/run.sh [specs|podman|compose|examples]...   without arguments: all of them
#
#   BIN_DIR=DIR   take the four binaries and `peers` from DIR instead of compiling them
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cache=$target/containers
work=$(mktemp -d)
mkdir -p "$cache"

# shellcheck source=../shell/report.sh
. "$here/../shell/report.sh"
# shellcheck source=../shell/ports.sh
. "$here/../shell/ports.sh"
# shellcheck source=../shell/overlay.sh
. "$here/../shell/overlay.sh"
# shellcheck source=../shell/certificates.sh
. "$here/../shell/certificates.sh"
# shellcheck source=engine.sh
. "$here/engine.sh"
# shellcheck source=container.sh
. "$here/container.sh"
# shellcheck source=images.sh
. "$here/images.sh"
# shellcheck source=examples.sh
. "$here/examples.sh"
# shellcheck source=observe.sh
. "$here/observe.sh"
# shellcheck source=prometheus.sh
. "$here/prometheus.sh"
# shellcheck source=site.sh
. "$here/site.sh"
# shellcheck source=specs.sh
. "$here/specs.sh"
# shellcheck source=story.sh
. "$here/story.sh"

prometheus_pid=
docker_pid=
podman_started=
pod_is_up=
example_is_up=
network_saved=

clean_up() {
    set +e
    [ -z "$traffic" ] || kill "$traffic"
    [ -z "$prometheus_pid" ] || stop_prometheus
    [ -z "$pod_is_up" ] || pod_down >/dev/null 2>&1
    [ -z "$example_is_up" ] || example_down >/dev/null 2>&1
    [ -z "$podman_started" ] || stop_podman
    [ -z "$docker_pid" ] || stop_docker
    [ -z "$network_saved" ] || restore_network
    # A mount that is left over must not be emptied.
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

run_story() {
    local before=$failed
    pod_is_up=yes
    expect "the pod is created" - pod_up
    if [ "$failed" -eq "$before" ]; then
        find_addresses
        story
        everything_stops_in_time
    fi
    pod_down >/dev/null 2>&1 || true
    pod_is_up=
}

if [ "$(id -u)" -ne 0 ]; then
    echo "run.sh: has to be run by root" >&2
    exit 1
fi
if [ $# -eq 0 ]; then set -- specs podman compose examples; fi

"$here/install.sh"
save_network
network_saved=yes
for part in "$@"; do
    case $part in
    specs) check_specs ;;
    podman)
        # shellcheck source=podman.sh
        . "$here/podman.sh"
        subject=podman
        compile
        podman_started=yes
        start_podman
        build_images podman
        run_story
        stop_podman
        podman_started=
        ;;
    compose)
        # shellcheck source=compose.sh
        . "$here/compose.sh"
        subject=compose
        compile
        start_docker
        build_images docker
        run_story
        stop_docker
        docker_pid=
        ;;
    examples)
        # shellcheck source=examples-podman.sh
        . "$here/examples-podman.sh"
        subject=podman
        compile
        podman_started=yes
        start_podman
        build_example_images podman
        init_copy_examples
        stop_podman
        podman_started=
        # shellcheck source=examples-compose.sh
        . "$here/examples-compose.sh"
        subject=compose
        start_docker
        build_example_images docker
        init_copy_examples
        # shellcheck source=logs-compose.sh
        . "$here/logs-compose.sh"
        build_one docker peers "$here/peers.Dockerfile" "$BIN_DIR/peers"
        log_examples
        # shellcheck source=ambassador.sh
        . "$here/ambassador.sh"
        # shellcheck source=proxy-compose.sh
        . "$here/proxy-compose.sh"
        quietly "$here/postgresql.sh" "$cache" docker
        quietly "$here/grpc.sh" "$cache" docker
        proxy_examples
        stop_docker
        docker_pid=
        ;;
    *)
        echo "run.sh: unknown argument '$part': specs, podman, compose or examples" >&2
        exit 2
        ;;
    esac
done
conclude
