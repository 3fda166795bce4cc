# shellcheck shell=bash
# A pod that is told to end, looked at after its end.

# The object stays when the pod is gone, with what the kubelet said of its containers, until release_pod.
keep_pod() {
    k patch pod "$pod" --type merge --patch '{"metadata": {"finalizers": ["sidecar.example/looked-at"]}}' >/dev/null
}

release_pod() {
    k patch pod "$pod" --type merge --patch '{"metadata": {"finalizers": null}}' >/dev/null
}

# The files stay when the kubelet has removed the volume. Beside it, since the kubelet has made its folder a mount of its own.
keep_logs() {
    kept=$state/kubelet/kept-$namespace
    rm -rf "$kept"
    cp --archive --link "$(mounted tomcat /tomcat/logs)" "$kept"
}

# The lines of all files that were kept, each after the path that log-sidecar knows it by.
written() {
    cd "${kept:-$(mounted tomcat /tomcat/logs)}"
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

# The containers in the order in which they ended, or started.
order_of() {
    statuses "$pod" | jq --slurp --raw-output --arg at "$1" 'map(select(.state.terminated)) | sort_by(.state.terminated[$at]) | .[].name' | paste -sd ' '
}
