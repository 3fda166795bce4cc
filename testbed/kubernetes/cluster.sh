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
network=sidecar-kubernetes
cable=sidecar-kube
host_address=198.18.0.1
node_address=198.18.0.2
pod_range=198.18.64.0/18
service_range=198.18.128.0/18
api_service=198.18.128.1

# Kernel settings that a kubelet changes for the whole machine.
kernel_settings=(kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes vm/overcommit_memory)

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

inside() {
    nsenter --net="/run/netns/$network" "$@"
}

# launch NAME COMMAND...: in the background, in the cluster's network, and without this shell's variables and terminal.
launch() {
    local name=$1
    shift
    setsid nsenter --net="/run/netns/$network" env --ignore-environment "PATH=$PATH" "HOME=$state" "$@" \
        >"$state/log/$name" 2>&1 </dev/null &
    echo $! >"$state/pid/$name"
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
    find /sys/fs/cgroup -maxdepth 2 -type d -name "$network"
}

# What a cluster could leave behind, to be compared.
machine() {
    local setting
    cut -d ' ' -f 5 /proc/self/mountinfo | sort
    ip -oneline link show | cut -d ' ' -f 2
    ip route show
    ip netns list
    find /sys/fs/cgroup -type d -path "*$network*"
    find "$state" /var/lib/cni /run/containerd /var/log/containers 2>/dev/null || true
    for setting in "${kernel_settings[@]}"; do echo "$setting $(cat "/proc/sys/$setting")"; done
    # Of programs that are no zombies.
    grep -lzs -- "$state" /proc/[0-9]*/cmdline | wc -l
}

same_machine() {
    diff <(echo "$machine_before") <(machine)
}
