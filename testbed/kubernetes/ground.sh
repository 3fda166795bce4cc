# shellcheck shell=bash
# What a machine must have before anything is done to it; all that is missing is said at once.

ground_is_good() {
    local problems=0 wanted have
    if [ "$(id -u)" -ne 0 ]; then
        # Nothing else could be found out.
        give_up "not root: a kubelet mounts volumes and makes cgroups; run it with sudo, or in a privileged container"
    fi
    missing() {
        complain "$1"
        problems=$((problems + 1))
    }
    if ! command -v apt-get >/dev/null; then
        missing "no apt-get: containerd, runc and the rest are taken from Debian 12"
    fi
    wanted=$(sed -n 's/^go //p' "$kubernetes/node/go.mod")
    if ! command -v go >/dev/null; then
        missing "no Go: Kubernetes is compiled with Go $wanted or later, and there is no 'go' in PATH"
    else
        have=$(cd / && go env GOVERSION)
        if [ "$(printf '%s\n' "$wanted" "${have#go}" | sort --version-sort | head -n 1)" != "$wanted" ]; then
            missing "Go is too old: $have, and Kubernetes wants $wanted or later"
        fi
    fi
    for have in cpu memory pids cpuset; do
        if ! has_cgroup "$have"; then
            missing "no cgroup hierarchy with '$have' at /sys/fs/cgroup that can be written to: mount it; in a container, start that with --privileged --cgroupns=host"
        fi
    done
    if ! unshare --net true 2>/dev/null; then
        missing "no network namespaces: the kernel or the container forbids them; in a container, start that with --privileged"
    elif ! unshare --net ip link add name a type veth peer name b 2>/dev/null; then
        missing "no veth devices: load the kernel module 'veth'"
    elif command -v nft >/dev/null && ! unshare --net nft list ruleset >/dev/null 2>&1; then
        missing "no nftables in the kernel: load the kernel module 'nf_tables'"
    fi
    for have in "$host_address/24" "$pod_range" "$service_range"; do
        if [ -n "$(ip route show to match "$have" 2>/dev/null | grep -v '^default' || true)" ] || [ -n "$(ip route show to root "$have")" ]; then
            missing "the addresses $have are taken: $(ip route show to root "$have" | head -n 1); the cluster needs them, so remove that route first"
        fi
    done
    unset -f missing
    [ "$problems" -eq 0 ]
}

has_cgroup() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        grep -qw "$1" /sys/fs/cgroup/cgroup.controllers && [ -w /sys/fs/cgroup/cgroup.subtree_control ]
    else
        [ -e "/sys/fs/cgroup/$1/cgroup.procs" ] && [ -w "/sys/fs/cgroup/$1" ]
    fi
}
