# shellcheck shell=bash
# A pod that is told to end, looked at after its end.

# The object stays when the pod is gone, with what the kubelet said of its containers, until release_pod.
keep_pod() {
    k patch pod "$pod" --type merge --patch '{"metadata": {"finalizers": ["sidecar.example/looked-at"]}}' >/dev/null
}

release_pod() {
    k patch pod "$pod" --type merge --patch '{"metadata": {"finalizers": null}}' >/dev/null
}

# The files stay when the kubelet has removed the volume, those too that are made until then.
keep_logs() {
    local logs
    logs=$(mounted tomcat /tomcat/logs)
    kept=$state/kept-$namespace
    mkdir "$kept"
    cp --archive --link "$logs/." "$kept"
    while cp --archive --link --no-clobber "$logs/." "$kept"; do sleep 0.1; done 2>/dev/null &
}

# The lines of all files that were kept, each after the path that log-sidecar knows it by.
written() {
    cd "${kept:-$(mounted tomcat /tomcat/logs)}" || return
    find . -type f -exec awk '{ sub(/^\./, "/logs", FILENAME); print FILENAME "\t" $0 }' {} +
}

all_have_ended() {
    statuses "$pod" | jq --raw-output '"\(.name) \(.state | keys[0])"'
    statuses "$pod" | jq --slurp --exit-status 'all(.state.terminated)' >/dev/null
}

says_in_the_end() {
    local told
    told=$(message "$1")
    echo "$told"
    grep --quiet --fixed-strings -- "$2" <<<"$told"
}

# started_in_order NAME...: all containers of the pod, as they started.
started_in_order() {
    local order
    order=$(statuses "$pod" | jq --slurp --raw-output 'sort_by(.state.terminated.startedAt) | .[].name' | paste -sd ' ')
    echo "$order"
    [ "$order" = "$*" ]
}

# What a sidecar says until its end: the kubelet removes its log with the pod.
follow() {
    local role
    for role in "$@"; do
        k logs "$pod" --container "$role" --follow >"$work/log-of-$role" 2>&1 &
    done
}

# said_at ROLE MESSAGE: when it was logged.
said_at() {
    jq --raw-output --arg message "$2" 'select(.message == $message) | .timestamp' "$work/log-of-$1" | tail -n 1 | grep .
}
