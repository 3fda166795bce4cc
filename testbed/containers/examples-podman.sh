# shellcheck shell=bash
# The examples under `podman kube play`.

engine=podman
example_network=init-copy-examples

container() {
    case $1 in
    files | registry) echo "$1" ;;
    app) if [ "$case_name" = war ]; then echo war-tomcat; else echo "$case_name-nginx"; fi ;;
    *) echo "$case_name-$1" ;;
    esac
}

prepare_example() {
    podman network create "$example_network" >/dev/null
}

example_up() {
    "$root/examples/podman-up.sh" --create "$root/examples/init-copy/$case_name/pod.yaml" --network "$example_network"
    podman inspect "$(container init-copy)" >"$work/init.json"
    podman pod start "$case_name"
    steady_bridge "$example_network"
}

# emptied SPEC: the names of its emptyDirs.
emptied() {
    sed -n 's/.*{name: \([a-z]*\), emptyDir: {}}.*/\1/p' "$1"
}

start_files() {
    podman run --detach --network "$example_network" --name files --volume "$work/files:/site:ro" localhost/nginx:dev
}

start_registry() {
    podman run --detach --network "$example_network" --name registry localhost/registry:dev
}

find_example() {
    app=$(address_of "$(podman pod inspect --format '{{.InfraContainerID}}' "$case_name")"):8080
}

# Podman removes an init container that is done: another one like it.
run_init_again() {
    local arguments options
    mapfile -t options < <(jq --raw-output '.[0] | (.Mounts[] | "--volume=\(.Name):\(.Destination)"), (.Config.Env[] | "--env=\(.)")' "$work/init.json")
    mapfile -t arguments < <(jq --raw-output '.[0] | .ImageName, .Config.Cmd[]' "$work/init.json")
    podman run --rm --network "$example_network" --user 65532:65532 --read-only --cap-drop ALL "${options[@]}" "${arguments[@]}"
}

# Podman 4.3 knows no startup probe.
becomes_healthy() { :; }

example_down() {
    local spec=$root/examples/init-copy/$case_name/pod.yaml volume
    podman kube down "$spec"
    podman rm --force --ignore --time 0 files registry
    for volume in $(emptied "$spec") "$case_name"; do podman volume rm --force "$volume"; done
    podman network rm --force "$example_network"
}
