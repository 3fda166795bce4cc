# shellcheck shell=bash
# The pod under `podman kube play`.

engine=podman
network=all-four

container() {
    case $1 in
    store | backend-*) echo "$1" ;;
    *) echo "all-four-$1" ;;
    esac
}

pod_up() {
    local n
    podman network create "$network"
    podman run --detach --network "$network" --name store localhost/peers:dev store --listen 0.0.0.0:9200
    steady_bridge "$network"
    for n in 1 2 3; do
        podman run --detach --network "$network" --name "backend-$n" localhost/peers:dev \
            backend --listen 0.0.0.0:8080 --name "b$n"
    done
    "$root/examples/podman-up.sh" "$root/examples/all-four/pod.yaml" --network "$network"
}

find_addresses() {
    local pod
    pod=$(address_of "$(podman pod inspect --format '{{.InfraContainerID}}' all-four)")
    app=$pod:8080
    adapter=$pod:9102
    store=$(address_of store):9200
}

# SIGTERM for all at once. Not by `podman stop` or `podman pod stop` for all: 4.3 ends the pod's network first, and sends a
# second SIGTERM to whoever is still draining. But by stop for Tomcat, whose exit code, 143, would else mean a restart.
pod_stop() {
    podman kill --signal TERM "$(container log-sidecar)" "$(container proxy-sidecar)" "$(container adapter-sidecar)"
    podman stop --time 30 "$(container tomcat)"
}

pod_down() {
    podman kube down "$root/examples/all-four/pod.yaml"
    podman rm --force --time 0 store backend-1 backend-2 backend-3
    podman volume rm --force webapps logs state
    podman network rm "$network"
}
