# shellcheck shell=bash
# Native sidecars: the order in which they start and stop, what is logged meanwhile, and a period that is over before they are done.

check_native() {
    subject="kubernetes, all-four-native"
    pod=all-four-native
    enter native
    meet store backend-1 backend-2 backend-3
    native_starts_and_stops
    subject="kubernetes, period over"
    the_period_is_over
    subject="kubernetes, grace over"
    the_grace_is_over
    leave
}

native_starts_and_stops() {
    expect "the pod is created" - k apply --filename "$root/examples/all-four/pod-native-sidecars.yaml"
    expect "it becomes ready" tomcat becomes_ready "$pod"
    find_addresses
    the_war_is_deployed
    expect "orders are answered" proxy-sidecar says '^hello from' "$app/orders"
    keep_pod
    keep_logs
    follow log-sidecar proxy-sidecar adapter-sidecar
    k delete pod "$pod" --wait=false >/dev/null
    expect "all containers end within the period" - eventually 60 all_have_ended
    expect "they started in the order of the file, Tomcat last" - \
        started_in_order init-copy log-sidecar proxy-sidecar adapter-sidecar tomcat
    expect "Tomcat ended first, and each sidecar was told when the one after it had ended" - stopped_in_reverse
    expect "log-sidecar ends with 0, and its account in the termination message" - \
        says_in_the_end log-sidecar "exit 0 Completed: log-sidecar: stopped: "
    expect "Tomcat said its last words while it stopped" - says_goodbye written
    expect "and they are stored" - says_goodbye stored
    expect "every line is stored once" - nothing_lost_or_doubled '^/logs/'
    release_pod
    k wait --for=delete "pod/$pod" --timeout 30s >/dev/null
}

# The kubelet's times are in seconds, ours are finer.
stopped_in_reverse() {
    local role at times=() ended
    ended=$(statuses "$pod" | jq --raw-output 'select(.name == "tomcat") | .state.terminated.finishedAt')
    times=("${ended%Z}")
    for role in adapter-sidecar proxy-sidecar log-sidecar; do
        for at in stopping stopped; do times+=("$(said_at "$role" "$at")"); done
    done
    printf '%s\n' "${times[@]}"
    printf '%s\n' "${times[@]}" | sort --check
}

says_goodbye() {
    "$1" | grep 'Destroying ProtocolHandler'
}

# Tomcat takes 20 s of 30 s, and the store is away: what is left is less than log-sidecar would take.
the_period_is_over() {
    pod=period
    native_pod_whose_tomcat_takes 20 30 25s
    expect "SIGKILL ends log-sidecar, and its account is in the termination message all the same" - \
        says_in_the_end log-sidecar "exit 137 Error: log-sidecar: killed while stopping: read "
    expect "with what is left, and the remedy" - says_in_the_end log-sidecar "remedy: raise the pod's terminationGracePeriodSeconds"
    expect "it has read all that it was killed with" - says_in_the_end log-sidecar "unread 0 bytes"
    expect "kubectl describe shows it" - describes "$pod" "killed while stopping: read " "Reason:       Error"
    release_pod
}

# Tomcat takes 10 s of 30 s, and the store is away: the default of --grace ends in order before the period does.
the_grace_is_over() {
    pod=grace
    native_pod_whose_tomcat_takes 10 30 ""
    expect "log-sidecar ends by itself, before the period does" - says_in_the_end log-sidecar "exit 1 Error: log-sidecar: not drained within 10s: read "
    expect "the others have ended with 0" - others_have_ended
    release_pod
}

# native_pod_whose_tomcat_takes SECONDS PERIOD GRACE: created, used, and told to end without a store.
native_pod_whose_tomcat_takes() {
    local sleep=$1 period=$2 grace=$3
    k create --dry-run=client --filename "$root/examples/all-four/pod-native-sidecars.yaml" --output json |
        jq --arg name "$pod" --argjson sleep "$sleep" --argjson period "$period" --arg grace "$grace" '
            .metadata.name = $name | .spec.terminationGracePeriodSeconds = $period
            | .spec.containers[0].lifecycle.preStop.sleep.seconds = $sleep
            | .spec.initContainers |= map(if .name == "log-sidecar" and $grace != "" then .args += ["--grace=\($grace)"] else . end)' |
        k apply --filename - >/dev/null
    expect "a pod whose Tomcat takes $sleep s of $period s becomes ready" tomcat becomes_ready "$pod"
    k delete pod store --grace-period 1 >/dev/null
    answers 200 "$(address_of "$pod"):8080/sample/" >/dev/null || true
    keep_pod
    k delete pod "$pod" --wait=false >/dev/null
    expect "all containers end" - eventually $((period + 30)) all_have_ended
    meet store
}

others_have_ended() {
    statuses "$pod" | jq --raw-output 'select(.name | test("(proxy|adapter)-sidecar")) | "\(.name) \(.state.terminated.exitCode)"'
    statuses "$pod" | jq --slurp --exit-status 'map(select(.name | test("(proxy|adapter)-sidecar"))) | all(.state.terminated.exitCode == 0)' >/dev/null
}
