# shellcheck shell=bash
# A network of the cluster's own: its ports are free whatever this machine listens on, and its rules do not touch this machine's.

make_network() {
    ip netns add "$network"
    ip link add name "$cable" type veth peer name eth0 netns "$network"
    ip address add "$host_address/24" dev "$cable"
    ip link set "$cable" up
    inside ip link set lo up
    inside ip address add "$node_address/24" dev eth0
    inside ip link set eth0 up
    # Without a default route some programs find no address of their own; it ends at this machine.
    inside ip route add default via "$host_address"
    inside sysctl --quiet --write net.ipv4.ip_forward=1
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
    ip netns delete "$network" 2>/dev/null || true
}
