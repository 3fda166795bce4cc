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
    for n in 1 2 3; do
        podman run --detach --network "$network" --name "backend-$n" localhost/peers:dev \
            backend --listen 0.0.0.0:8080 --name "b$n"
    done
    # The example leaves some air; the promise is to work with a fiftieth of a CPU.
    sed 's/limits: {cpu: 100m,/limits: {cpu: 20m,/' "$root/examples/all-four/pod.yaml" >"$work/pod.yaml"
    grep -q 'limits: {cpu: 20m, memory: 32Mi}' "$work/pod.yaml"
    # From an empty folder: podman takes one that is named like an image for its build context.
    mkdir -p "$work/empty"
    (cd "$work/empty" && podman kube play --start=false --network "$network" "$work/pod.yaml")
    own_volumes
    podman pod start all-four
}

find_addresses() {
    local pod
    pod=$(address_of "$(podman pod inspect --format '{{.InfraContainerID}}' all-four)")
    app=$pod:8080
    adapter=$pod:9102
    store=$(address_of store):9200
}

# What the kubelet does with an emptyDir and fsGroup; podman 4.3 leaves it to root with mode 0755.
own_volumes() {
    local volume path
    for volume in webapps logs state; do
        path=$(podman volume inspect --format '{{.Mountpoint}}' "$volume")
        chgrp 65532 "$path"
        chmod 2777 "$path"
    done
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
