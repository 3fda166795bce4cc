# shellcheck shell=bash
# What only the cluster sees: a network, whose ports are free whatever this machine listens on, and mounts, so that what its programs
# write to fixed places of a machine is written to the cluster's own.

make_namespaces() {
    mkdir -p "$state/namespace"
    # Where namespaces can be kept: a mount that passes nothing on.
    mount --bind "$state/namespace" "$state/namespace"
    mount --make-private "$state/namespace"
    : >"$state/namespace/net"
    : >"$state/namespace/mount"
    # shellcheck disable=SC2016  # its own argument
    unshare --net="$state/namespace/net" --mount="$state/namespace/mount" --propagation private sh -ec '
        mount --bind "$1" /mnt
        mount -t tmpfs none /var/lib
        mkdir "$1"
        mount --move /mnt "$1"
        mount -t tmpfs none /var/log
        mount -t tmpfs none /run
        mount --make-rshared /
    ' - "$state"
}

remove_namespaces() {
    umount "$state/namespace/net" "$state/namespace/mount" "$state/namespace" 2>/dev/null
}

make_network() {
    ip link add name "$cable" type veth peer name eth0 netns "$state/namespace/net"
    ip address add "$host_address/24" dev "$cable"
    ip link set "$cable" up
    inside ip link set lo up
    inside ip address add "$node_address/24" dev eth0
    inside ip link set eth0 up
    # Without a default route some programs find no address of their own; it ends at this machine.
    inside ip route add default via "$host_address"
    inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    # For tests and people here: pods and Services can be reached.
    ip route add "$pod_range" via "$node_address"
    ip route add "$service_range" via "$node_address"
    mkdir -p "$state/cni"
    # ptp and not bridge: every packet is routed, so that Services work without br_netfilter.
    cat >"$state/cni/10-pods.conflist" <<EOF
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "mtu": 1500,
      "ipam": {
        "type": "host-local",
        "dataDir": "$state/addresses",
        "ranges": [[{"subnet": "$pod_range"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
EOF
}

remove_network() {
    ip link delete "$cable" 2>/dev/null || true
}
