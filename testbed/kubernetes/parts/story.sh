# shellcheck shell=bash
# The story of ../containers/story.sh on a kubelet, for the plain pod; and each sidecar killed.

check_story() {
    subject="kubernetes, all-four"
    # shellcheck disable=SC2034  # read by ../containers/story.sh
    engine=kubernetes
    pod=all-four
    enter story
    meet store backend-1 backend-2 backend-3
    expect "the pod is created" - k apply --filename "$root/examples/all-four/pod.yaml"
    expect "it becomes ready" tomcat becomes_ready "$pod"
    find_addresses
    story
    each_sidecar_survives_kill
    expect "Tomcat was not restarted meanwhile" tomcat restarted 0 tomcat
    plain_pod_stops
    leave
}

find_addresses() {
    app=$(address_of "$pod"):8080
    adapter=$(address_of "$pod"):9102
    store=$(address_of store):9200
}

backend_ends() {
    k delete pod backend-2 --wait=false >/dev/null
}

backend_returns() {
    k wait --for=delete pod/backend-2 --timeout 30s >/dev/null
    meet backend-2
}

# log-sidecar was, in the story.
each_sidecar_survives_kill() {
    local role killed
    for role in proxy-sidecar adapter-sidecar; do
        killed=$(pid_of "$role")
        kill -KILL "$killed"
        expect "$role is restarted after kill -9" "$role" eventually 60 runs_again "$role" "$killed"
    done
    expect "the application's orders are answered again" proxy-sidecar eventually 60 says '^hello from' "$app/orders"
    expect "its health is again" adapter-sidecar eventually 60 says '^app_health_up 1$' "$adapter/metrics"
    for role in log-sidecar proxy-sidecar adapter-sidecar; do
        expect "$role was restarted once" "$role" restarted 1 "$role"
    done
    expect "the pod is ready again" - becomes_ready "$pod"
}

# SIGTERM for all at once.
plain_pod_stops() {
    local role
    keep_pod
    keep_logs
    k delete pod "$pod" --wait=false >/dev/null
    expect "all containers end within the period" - eventually 40 all_have_ended
    for role in log-sidecar proxy-sidecar adapter-sidecar; do
        expect "$role ends with 0, and its account in the termination message" "$role" says_in_the_end "$role" "exit 0 Completed: $role: stopped: "
    done
    expect "every line that was logged until the end is stored once" log-sidecar nothing_lost_or_doubled '^/logs/'
    release_pod
}
