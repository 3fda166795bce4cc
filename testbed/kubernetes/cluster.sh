# shellcheck shell=bash
# What `up`, `down`, `load` and `run` know of the cluster: its places, its addresses, how a program of it is started and ended.
# One cluster a machine.

kubernetes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$kubernetes/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
# Kept from one cluster to the next.
programs=$target/kubernetes
node=$programs/node

# All that a cluster writes. Short, since it holds sockets, and their paths have a limit.
state=/var/lib/sidecar-kubernetes
export KUBECONFIG=$state/kubeconfig
containerd_socket=$state/containerd.sock

# The cluster's own network, and a cable from there to here. Addresses set aside for tests between networks (RFC 2544).
cgroup=sidecar-kubernetes
cable=sidecar-kube
host_address=198.18.0.1
node_address=198.18.0.2
pod_range=198.18.64.0/18
service_range=198.18.128.0/18
api_service=198.18.128.1

# In the order in which they are ended: the kubelet first, or it would start again what is ended.
cluster_programs=(kubelet proxy names scheduler controllers api etcd containerd)

# Kernel settings that a kubelet changes for the whole machine.
kernel_settings=(kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes vm/overcommit_memory vm/panic_on_oom)

kubectl() {
    "$node" kubectl "$@"
}

ctr() {
    command ctr --address "$containerd_socket" --namespace k8s.io "$@"
}

complain() {
    echo "${0##*/}: $1" >&2
}

give_up() {
    complain "$1"
    exit 1
}

# There is one cluster a machine, and this would be the second.
give_up_as_taken() {
    give_up "a cluster is up, or was not taken down: testbed/kubernetes/down does that"
}

# inside COMMAND...: with the cluster's network and mounts.
inside() {
    nsenter --net="$state/namespace/net" --mount="$state/namespace/mount" "$@"
}

# launch NAME COMMAND...: in the background, inside, and without this shell's variables and terminal.
launch() {
    local name=$1 try
    shift
    setsid nsenter --net="$state/namespace/net" --mount="$state/namespace/mount" \
        env --ignore-environment "PATH=$PATH" "HOME=$state" "$@" >"$state/log/$name" 2>&1 </dev/null &
    echo $! >"$state/pid/$name"
    # Until it is this command, and not this shell's child yet.
    for try in 1 2 3 4 5 6 7 8 9 10; do ! is_running "$name" || return 0; sleep "0.0$try"; done
}

is_running() {
    local pid
    pid=$(cat "$state/pid/$1" 2>/dev/null) && [ -d "/proc/$pid" ] && grep -qz "$state\|$node" "/proc/$pid/cmdline"
}

# end NAME: by its id, with some time to do it in order.
end() {
    local pid deadline=$((SECONDS + 15))
    is_running "$1" || return 0
    pid=$(cat "$state/pid/$1")
    kill "$pid" || return 0
    while is_running "$1" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
    if is_running "$1"; then kill -KILL "$pid"; fi
}

# await SECONDS NAME WHAT COMMAND...: until the command succeeds; if it does not, or NAME has ended, says so with the end of its log.
await() {
    local deadline=$((SECONDS + $1)) name=$2 what=$3
    shift 3
    until "$@" >"$state/log/last" 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ] || ! is_running "$name"; then
            complain "$what: not within the time, or $name has ended; the end of $state/log/$name:"
            tail -n 15 "$state/log/$name" | cut -c 1-400 | sed 's/^/  | /' >&2
            return 1
        fi
        sleep 0.2
    done
}

# The folders of our cgroup: one a hierarchy in version 1, one in all in version 2.
cgroups() {
    find /sys/fs/cgroup -maxdepth 2 -type d -name "$cgroup"
}

# What a cluster could leave behind, to be compared.
machine() {
    local setting
    cut -d ' ' -f 5 /proc/self/mountinfo | sort
    ip -oneline link show | cut -d ' ' -f 2
    ip route show
    cat /proc/sys/net/ipv4/ip_forward
    nft list ruleset 2>/dev/null | grep -v '^#' || true
    find /sys/fs/cgroup -type d -path "*$cgroup*"
    # The last ones are where the programs would write if they were not inside.
    find "$state" /run/netns /run/containerd /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /usr/libexec/kubernetes 2>/dev/null || true
    for setting in "${kernel_settings[@]}"; do echo "$setting $(cat "/proc/sys/$setting")"; done
    # A process that ends meanwhile is no failure; nor is one that has ended and waits for its parent.
    { grep -lzs -- "$state/" /proc/[0-9]*/cmdline || true; } | wc -l
}

same_machine() {
    diff <(echo "$machine_before") <(machine)
}
