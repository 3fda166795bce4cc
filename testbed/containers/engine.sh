# shellcheck shell=bash
# The two engines, each with directories of its own under $work: nothing of this machine's own containers is touched.

start_podman() {
    mkdir -p "$work/podman/networks"
    cat >"$work/podman/containers.conf" <<EOF
[containers]
# Podman's own defaults may be above what this machine allows.
default_ulimits = ["nofile=$(limit -n)", "nproc=$(limit -u)"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$work/podman/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$work/podman/networks"
EOF
    cat >"$work/podman/storage.conf" <<EOF
[storage]
driver = "$(storage_driver)"
graphroot = "$work/podman/graph"
runroot = "$work/podman/run"
EOF
    export CONTAINERS_CONF=$work/podman/containers.conf CONTAINERS_STORAGE_CONF=$work/podman/storage.conf
    # Podman runs health checks by timers of systemd, which need not be there.
    export DISABLE_HC_SYSTEMD=true
}

# steady_bridge NETWORK: its bridge, which is there since the first container is, stays with its address. By itself it takes the lowest of
# those on it, and when that one leaves, all others send to nobody until they ask again: netavark fixes it from 1.9 on.
steady_bridge() {
    local bridge
    bridge=$(podman network inspect --format '{{.NetworkInterface}}' "$1")
    ip link set "$bridge" address "$(cat "/sys/class/net/$bridge/address")"
}

stop_podman() {
    podman rm --all --force --time 0 >/dev/null
    umount "$work/podman/graph/overlay" 2>/dev/null || true
}

# Enough for the story, and never above this machine's own.
limit() {
    local hard
    hard=$(ulimit -H "$1")
    if [ "$hard" = unlimited ] || [ "$hard" -gt 4096 ]; then hard=4096; fi
    echo "$hard:$hard"
}

storage_driver() {
    if overlay_works "$work/overlay"; then echo overlay; else echo vfs; fi
}

start_docker() {
    local dir=$work/docker
    mkdir -p "$dir"
    export DOCKER_HOST=unix://$dir/docker.sock
    # In a process group of its own: a Ctrl-C must not end it before its containers have been removed.
    setsid dockerd --host "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" --bridge none \
        >"$dir/log" 2>&1 &
    docker_pid=$!
    if ! eventually 60 docker_answers; then
        tail -n 20 "$dir/log"
        return 1
    fi
}

docker_answers() {
    docker version --format '{{.Server.Version}}'
}

stop_docker() {
    kill "$docker_pid"
    wait "$docker_pid" || true
}

# Both engines change the machine's firewall and forwarding, and leave them changed.
save_network() {
    iptables-save -t filter >"$work/filter.rules"
    iptables-save -t nat >"$work/nat.rules"
    cat /proc/sys/net/ipv4/ip_forward >"$work/ip_forward"
}

restore_network() {
    iptables-restore "$work/filter.rules"
    iptables-restore "$work/nat.rules"
    cat "$work/ip_forward" >/proc/sys/net/ipv4/ip_forward
}
