# shellcheck shell=bash
# What a check looks at: what kubectl says, and what can be asked over the network.

# In the namespace of the part that runs.
k() {
    kubectl --namespace "$namespace" "$@"
}

# enter NAME [LEVEL]: a namespace of its own, whose pods have to obey the Pod Security Standard `restricted`.
enter() {
    namespace=$1
    kept=
    kubectl create namespace "$namespace" >/dev/null
    kubectl label namespace "$namespace" "pod-security.kubernetes.io/enforce=${2:-restricted}" >/dev/null
    # Pods are refused before this is there.
    eventually 30 k get serviceaccount default >/dev/null
}

# All at once: nobody needs the grace any more.
leave() {
    k delete deployments,daemonsets,statefulsets,cronjobs,jobs --all --wait=false >/dev/null
    k delete pods --all --grace-period 1 --timeout 60s >/dev/null 2>&1 || true
    kubectl delete namespace "$namespace" --wait=false >/dev/null
}

# log_of ROLE: a container of the pod that is looked at, or else a pod.
log_of() {
    k logs "$pod" --container "$1" --tail 20 2>/dev/null || k logs "$1" --tail 20
}

# logs_say ROLE TEXT
logs_say() {
    k logs "$pod" --container "$1" | grep --fixed-strings -- "$2"
}

exec_in() {
    local role=$1
    shift
    k exec "$pod" --container "$role" -- "$@"
}

# becomes_ready POD [SECONDS]
becomes_ready() {
    k wait --for=condition=Ready "pod/$1" --timeout "${2:-120}s" || {
        k get events --sort-by .lastTimestamp | tail -n 15
        return 1
    }
}

# pod_of LABEL: the one that is not told to end.
pod_of() {
    k get pods --selector "app=$1" --output json |
        jq --raw-output --exit-status '.items[] | select(.metadata.deletionTimestamp == null) | .metadata.name'
}

address_of() {
    k get pod "$1" --output jsonpath='{.status.podIP}'
}

# statuses POD: one object a container, of all kinds.
statuses() {
    k get pod "$1" --output json | jq --compact-output '.status | (.initContainerStatuses // []) + (.containerStatuses // []) | .[]'
}

restarts() {
    statuses "$1" | jq --raw-output --arg role "$2" 'select(.name == $role) | .restartCount'
}

# restarted TIMES ROLE
restarted() {
    local times
    times=$(restarts "$pod" "$2")
    echo "$times"
    [ "$times" = "$1" ]
}

# without_restart POD
without_restart() {
    statuses "$1" | jq --raw-output '"\(.name) \(.restartCount)"'
    statuses "$1" | jq --slurp --exit-status 'map(.restartCount) | add == 0' >/dev/null
}

# is_small POD: each of our sidecars in it has 20m CPU and 32 MiB.
is_small() {
    local sizes
    sizes=$(k get pod "$1" --output json | jq --raw-output '
        .spec | (.initContainers // []) + .containers | .[] | select(.image | test("/(log|proxy|adapter)-sidecar:"))
        | "\(.name) \(.resources.limits.cpu) \(.resources.limits.memory)"')
    echo "${sizes:=none}"
    ! grep --quiet --invert-match ' 20m 32Mi$' <<<"$sizes"
}

# pid_of ROLE: on this machine.
pid_of() {
    local id
    id=$(statuses "$pod" | jq --raw-output --arg role "$1" 'select(.name == $role) | .containerID | ltrimstr("containerd://")')
    ctr tasks list | awk -v id="$id" '$1 == id && $3 == "RUNNING" { print $2 }' | grep .
}

# mounted ROLE PATH: where an emptyDir lies on this machine.
mounted() {
    k get pod "$pod" --output json | jq --raw-output --arg role "$1" --arg path "$2" --arg pods "$state/kubelet/pods" '
        .metadata.uid as $uid | .spec | (.initContainers // []) + .containers | .[] | select(.name == $role)
        | .volumeMounts[] | select(.mountPath == $path) | "\($pods)/\($uid)/volumes/kubernetes.io~empty-dir/\(.name)"'
}

# message ROLE: why its last process ended, as kubectl shows it.
message() {
    statuses "$pod" | jq --raw-output --arg role "$1" 'select(.name == $role) | .state.terminated // .lastState.terminated | "exit \(.exitCode) \(.reason): \(.message)"'
}

# describes POD TEXT...: `kubectl describe` shows each of the texts.
describes() {
    local told text
    told=$(k describe pod "$1")
    shift
    grep -A 12 'Message:' <<<"$told"
    for text in "$@"; do
        grep --quiet --fixed-strings -- "$text" <<<"$told" || { echo "without: $text"; return 1; }
    done
}

# make_volume NAME: a directory of this machine for whoever claims a volume.
make_volume() {
    mkdir -p "$state/volumes/$1"
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  local: {path: $state/volumes/$1}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node]}]}]}}
EOF
}
