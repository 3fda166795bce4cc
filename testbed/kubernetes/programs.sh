# shellcheck shell=bash
# The programs of a node and its control plane, each with what it is told.

start_containerd() {
    cat >"$state/containerd.toml" <<EOF
version = 2
root = "$state/containerd"
state = "$state/run"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:dev"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "$(snapshotter)"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$state/cni"
EOF
    launch containerd containerd --config "$state/containerd.toml"
    await 30 containerd "containerd answers" ctr version
}

snapshotter() {
    if overlay_works "$state/overlay"; then echo overlayfs; else echo native; fi
}

start_control_plane() {
    local tls=$state/tls
    launch etcd "$node" etcd --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
    launch api "$node" kube-apiserver \
        --etcd-servers http://127.0.0.1:2379 --advertise-address "$node_address" --service-cluster-ip-range "$service_range" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --client-ca-file "$tls/ca.crt" --tls-cert-file "$tls/api.crt" --tls-private-key-file "$tls/api.key" \
        --kubelet-preferred-address-types InternalIP \
        --kubelet-client-certificate "$tls/api-to-kubelet.crt" --kubelet-client-key "$tls/api-to-kubelet.key" \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$tls/accounts.key" --service-account-signing-key-file "$tls/accounts.key"
    await 60 api "the API server is ready" kubectl get --raw /readyz
    launch controllers "$node" kube-controller-manager --kubeconfig "$state/controllers.kubeconfig" \
        --leader-elect=false --bind-address 127.0.0.1 --use-service-account-credentials \
        --flex-volume-plugin-dir "$state/volume-plugins" \
        --root-ca-file "$tls/ca.crt" --service-account-private-key-file "$tls/accounts.key"
    launch scheduler "$node" kube-scheduler --kubeconfig "$state/scheduler.kubeconfig" --leader-elect=false --bind-address 127.0.0.1
    launch proxy "$node" kube-proxy --kubeconfig "$state/proxy.kubeconfig" --hostname-override node --proxy-mode nftables \
        --cluster-cidr "$pod_range" --conntrack-max-per-core 0 --bind-address "$node_address" --metrics-bind-address 127.0.0.1:10249
    cat >"$state/Corefile" <<EOF
cluster.local:53 {
    bind $node_address
    errors
    kubernetes cluster.local {
        kubeconfig $KUBECONFIG
        ttl 1
    }
}
# All else: there is no such name.
.:53 {
    bind $node_address
    template ANY ANY {
        rcode NXDOMAIN
    }
}
EOF
    launch names "$node" coredns "$state/Corefile"
    await 30 names "the cluster's DNS listens" listens_for_names
}

listens_for_names() {
    inside ss --listening --udp --numeric --no-header | grep -F "$node_address:53 "
}

start_kubelet() {
    local setting program
    mkdir -p "$state/kernel"
    for setting in "${kernel_settings[@]}"; do
        cp "/proc/sys/$setting" "$state/kernel/${setting//\//.}"
    done
    make_cgroups
    # A pod asks the cluster's DNS for everything.
    : >"$state/resolv.conf"
    cat >"$state/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $state/tls/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
featureGates: {KubeletInUserNamespace: true}
oomScoreAdj: 0
makeIPTablesUtilChains: false
clusterDNS: [$node_address]
clusterDomain: cluster.local
resolvConf: $state/resolv.conf
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
registerWithTaints: []
EOF
    launch kubelet "$node" kubelet --config "$state/kubelet.yaml" --kubeconfig "$state/kubelet.kubeconfig" \
        --root-dir "$state/kubelet" --cert-dir "$state/kubelet-tls" --hostname-override node --node-ip "$node_address"
    await 60 kubelet "the node is ready" kubectl wait --for=condition=Ready node/node --timeout=5s
    for program in "${cluster_programs[@]}"; do
        is_running "$program" || give_up "$program has ended: $(tail -n 5 "$state/log/$program")"
    done
}

make_cgroups() {
    local hierarchy resource
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo "+cpu +cpuset +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control ||
            give_up "controllers cannot be given to groups below /sys/fs/cgroup: processes in that group itself are in the way"
        mkdir "/sys/fs/cgroup/$cgroup"
        return
    fi
    for hierarchy in /sys/fs/cgroup/*/; do
        # Links, such as `cpu` to `cpu,cpuacct`, lead to the same.
        if [ ! -L "${hierarchy%/}" ] && [ -e "$hierarchy/cgroup.procs" ]; then mkdir -p "$hierarchy$cgroup"; fi
    done
    # A cpuset without processors and memory takes no process.
    for resource in cpus mems; do
        if [ -e "/sys/fs/cgroup/cpuset/cpuset.$resource" ]; then
            cat "/sys/fs/cgroup/cpuset/cpuset.$resource" >"/sys/fs/cgroup/cpuset/$cgroup/cpuset.$resource"
        fi
    done
}
