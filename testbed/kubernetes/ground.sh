# shellcheck shell=bash
# What a machine must have before anything is done to it; all that is missing is said at once, with how to get it.

ground_is_good() {
    local problems=0 controller range route
    if [ "$(id -u)" -ne 0 ]; then
        # Nothing else could be found out.
        give_up "not root: a kubelet mounts volumes and makes cgroups; run it with sudo, or in a privileged container"
    fi
    missing() {
        complain "$1"
        problems=$((problems + 1))
    }
    if ! command -v apt-get >/dev/null; then
        give_up "no apt-get: containerd, runc and the rest are taken from Debian 12"
    fi
    # What is looked at below is looked at with their help.
    "$kubernetes/../shell/install-packages.sh" containerd runc containernetworking-plugins nftables iproute2 iptables \
        util-linux mount procps openssl ca-certificates jq || give_up "Debian's packages cannot be installed: see above"
    go_is_new_enough
    for controller in cpu memory pids cpuset; do
        if ! has_cgroup "$controller"; then
            missing "no cgroup hierarchy with '$controller' at /sys/fs/cgroup that can be written to: mount it; in a container, start that with --privileged --cgroupns=host"
        fi
    done
    if ! unshare --net --mount true 2>/dev/null; then
        missing "no network namespaces: the kernel or the container forbids them; in a container, start that with --privileged"
    elif ! unshare --net ip link add name a type veth peer name b 2>/dev/null; then
        missing "no veth devices: load the kernel module 'veth'"
    elif ! unshare --net nft list ruleset >/dev/null 2>&1; then
        missing "no nftables in the kernel: load the kernel module 'nf_tables'"
    fi
    for range in "$host_address/24" "$pod_range" "$service_range"; do
        route=$(ip route show to root "$range" | head -n 1)
        if [ -n "$route" ]; then
            missing "the addresses $range are taken by the route '$route', and the cluster needs them: remove it, or choose others in testbed/kubernetes/cluster.sh"
        fi
    done
    unset -f missing
    [ "$problems" -eq 0 ]
}

go_is_new_enough() {
    local wanted found
    wanted=$(sed -n 's/^go //p' "$kubernetes/node/go.mod")
    if ! command -v go >/dev/null; then
        missing "no Go: Kubernetes is compiled with Go $wanted or later, and there is no 'go' in PATH; get it from https://go.dev/dl (Debian 12 has an older one)"
        return
    fi
    found=$(cd / && go env GOVERSION)
    if [ "$(printf '%s\n' "$wanted" "${found#go}" | sort --version-sort | head -n 1)" != "$wanted" ]; then
        missing "Go is too old: Kubernetes is compiled with Go $wanted or later, and 'go' in PATH is $found; get it from https://go.dev/dl"
    fi
}

has_cgroup() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        grep -qw "$1" /sys/fs/cgroup/cgroup.controllers && [ -w /sys/fs/cgroup/cgroup.subtree_control ]
    else
        [ -e "/sys/fs/cgroup/$1/cgroup.procs" ] && [ -w "/sys/fs/cgroup/$1" ]
    fi
}
