# shellcheck shell=bash
# What goes wrong, as a person meets it: by `kubectl describe` and `kubectl logs`.

check_failures() {
    subject=failures
    enter failures
    init_copy_fails missing-source "[/nothing.war, /volume/]" '{emptyDir: {}}' "" \
        "Exit Code:    10" "/nothing.war" "remedy: "
    init_copy_fails wrong-digest "[--sha256=$(printf '0%.0s' {1..64}), /sample.war, /volume/]" '{emptyDir: {}}' "" \
        "Exit Code:    11" "sha256" "remedy: "
    init_copy_fails full-volume "[/init-copy, /volume/]" '{emptyDir: {medium: Memory, sizeLimit: 1Mi}}' "" \
        "Exit Code:    14" "/volume" "remedy: "
    init_copy_fails read-only "[/sample.war, /volume/]" '{emptyDir: {}}' "readOnly: true" \
        "Exit Code:    15" "without readOnly: true"
    init_copy_fails usage "[--no-such-flag, /sample.war, /volume/]" '{emptyDir: {}}' "" \
        "Exit Code:    2" "unexpected argument '--no-such-flag'" "Usage: init-copy"
    init_copy_fails bad-value "[--deadline, soon, /sample.war, /volume/]" '{emptyDir: {}}' "" \
        "Exit Code:    2" '--deadline: "soon" is not valid'
    init_copy_fails install-self "[install-self, /volume/no/such]" '{emptyDir: {}}' "" \
        "Exit Code:    1" "/volume/no/such"
    for role in log-sidecar proxy-sidecar adapter-sidecar; do
        pod_fails "$role-usage" "$role" "[--no-such-flag]" '{emptyDir: {}}' "" \
            "Exit Code:    2" "unexpected argument '--no-such-flag'" "Usage: $role"
    done
    pod_fails log-sidecar-state log-sidecar "[--include, /logs/*.log, --to, stdout, --state, /volume]" '{emptyDir: {}}' "readOnly: true" \
        "Exit Code:    1" "state directory /volume"
    a_volume_of_root
    a_host_that_is_not_there
    a_probe_is_a_guest
    leave

    # The standard forbids hostPath, so not under it; an own user has no access to what is root's.
    enter failures-of-a-node privileged
    mkdir -p "$state/volumes/of-the-node"
    init_copy_fails host-path "[/sample.war, /volume/]" "{hostPath: {path: $state/volumes/of-the-node}}" "" \
        "Exit Code:    15" "no setting of the pod changes (hostPath)" "chgrp 65532 '$state/volumes/of-the-node' && chmod g+rwxs '$state/volumes/of-the-node'"
    expect "fsGroup, which does nothing there, is not named" - no_fs_group host-path
    chgrp 65532 "$state/volumes/of-the-node"
    chmod g+rwxs "$state/volumes/of-the-node"
    succeeds host-path-mended "[/sample.war, /volume/]" "{hostPath: {path: $state/volumes/of-the-node}}"
    leave
}

# init_copy_fails NAME ARGUMENTS VOLUME MOUNT-OPTION TEXT...
init_copy_fails() {
    local name=$1
    shift
    pod_fails "$name" sample-war "$@"
}

# pod_fails NAME IMAGE ARGUMENTS VOLUME MOUNT-OPTION TEXT...: kubectl describe shows each of the texts.
pod_fails() {
    local name=$1
    run_once "$1" "$2" "$3" "$4" "$5"
    shift 5
    expect "$name: the pod fails" - k wait --for=jsonpath='{.status.phase}'=Failed "pod/$name" --timeout 30s
    expect "$name: kubectl describe shows why, and what to do" - describes "$name" "$@"
}

succeeds() {
    run_once "$1" sample-war "$2" "$3" ""
    expect "$1: the remedy helps" - k wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$1" --timeout 30s
}

# run_once NAME IMAGE ARGUMENTS VOLUME MOUNT-OPTION [MORE]: a pod with one container of ours.
run_once() {
    pod=$1
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  restartPolicy: Never
  ${6:-}
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, ${fs_group-fsGroup: 65532,} seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: main
      image: localhost/$2:dev
      args: $3
      resources: {requests: {cpu: 10m}, limits: {cpu: 500m, memory: 32Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: volume, mountPath: /volume, ${5}}]
  volumes:
    - {name: volume, $(sed 's/^{//; s/}$//' <<<"$4")}
EOF
}

# While it waits, kubectl has no message to show: the log has the reason. Killed in it, describe has it too.
a_host_that_is_not_there() {
    run_once waits sample-war "[--wait-for, 'tcp://no-such-host:5432', /sample.war, /volume/]" '{emptyDir: {}}' "" "activeDeadlineSeconds: 12"
    expect "no such host: kubectl logs shows the reason while it waits" main eventually 11 waits_with_a_reason
    expect "no such host: the deadline of the pod ends it" - k wait --for=jsonpath='{.status.phase}'=Failed pod/waits --timeout 60s
    expect "no such host: kubectl describe shows the reason" - eventually 30 describes waits "Exit Code:    143" "tcp://no-such-host:5432: "
}

waits_with_a_reason() {
    local said
    said=$(k logs waits)
    echo "$said"
    grep --fixed-strings '"condition":"tcp://no-such-host:5432"' <<<"$said" | grep -E '"why":"[^"]*(resolve|name|lookup)'
}

# A probe runs in somebody else's container, and must not write the message of that.
a_probe_is_a_guest() {
    run_once guest sample-war "[wait, 'file:/volume/never']" '{emptyDir: {}}' ""
    expect "a container waits" - becomes_ready guest
    expect "a probe in it fails: exit 1" - exits 1 k exec guest -- /init-copy probe file:/nothing
    expect "a probe in it is mistaken: exit 2" - exits 2 k exec guest -- /init-copy probe --no-such-flag
    expect "a check in it is mistaken: exit 2" - exits 2 k exec guest -- /init-copy check --no-such-flag
    expect "verify in it fails: exit 10" - exits 10 k exec guest -- /init-copy verify /volume
    kill -KILL "$(pid_of main)"
    expect "killed, the message is that of the container's own process" - \
        eventually 20 says_in_the_end main "exit 137 Error: init-copy: killed while waiting for file:/volume/never"
}

# A claimed volume that is root's, and nobody gives it to a group; then the remedy.
a_volume_of_root() {
    make_volume of-root
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: of-root}
spec: {accessModes: [ReadWriteOnce], volumeName: of-root, storageClassName: "", resources: {requests: {storage: 1Gi}}}
EOF
    fs_group='' init_copy_fails volume-of-root "[/sample.war, /volume/]" '{persistentVolumeClaim: {claimName: of-root}}' "" \
        "Exit Code:    15" "mode 0755" "remedy: "
    succeeds volume-of-the-group "[/sample.war, /volume/]" '{persistentVolumeClaim: {claimName: of-root}}'
}

no_fs_group() {
    local told
    told=$(k describe pod "$1")
    ! grep --fixed-strings fsGroup <<<"$told"
}
