# shellcheck shell=bash
# The examples of examples/log-sidecar: what the stores have in the end.

check_logs() {
    enter logs
    meet store archive
    store=$(address_of store):9200
    subject="log-sidecar/job"
    report_ends
    subject="log-sidecar/two-sinks"
    two_sinks_get_theirs
    subject="log-sidecar/plain"
    the_last_line_arrives
    leave
}

report_ends() {
    expect "it is accepted under the standard 'restricted'" - accepted "$root/examples/log-sidecar/job/job.yaml"
    job_delivers report 'row [0-9]* is reported' 3000
}

two_sinks_get_theirs() {
    pod=two-sinks
    expect "it is accepted under the standard 'restricted'" - k apply --filename "$root/examples/log-sidecar/two-sinks/pod.yaml"
    expect "it becomes ready" log-sidecar becomes_ready "$pod"
    expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"
    expect "what is searched arrives, without what is left out" log-sidecar eventually 60 has_documents "$store/search" 1000
    expect "what is archived arrives, all of it" log-sidecar eventually 60 has_documents "$(address_of archive):9200/archive" 2000
    expect "in fields, without the token" - is_parsed
    expect "status tells of both" log-sidecar exec_in log-sidecar /log-sidecar status --state /state
    new_settings_count
    expect "nothing was restarted" - without_restart "$pod"
    keep_pod
    k delete pod "$pod" --wait=false >/dev/null
    expect "it ends within the period" - eventually 60 all_have_ended
    expect "and says what became of both" - \
        says_in_the_end log-sidecar "search: read 2001, acked 1001, rejected 0, dropped 1000"
    expect "and of the other" - says_in_the_end log-sidecar "archive: read 2001, acked 2001"
    release_pod
}

# The kubelet takes a minute or so to bring a change into the volume.
new_settings_count() {
    sed 's/^        parse: json$/&\n        field: {team: shop}/' "$root/examples/log-sidecar/two-sinks/pod.yaml" | quietly k apply --filename -
    expect "a change of the ConfigMap is read" log-sidecar eventually 150 logs_say log-sidecar 'the settings are read again'
    quietly exec_in app sh -c "echo '{\"level\":\"info\",\"msg\":\"order 1001\",\"token\":\"Bearer abcdefgh12345678\"}' >>/logs/app.log"
    expect "and what it says counts from then on" log-sidecar eventually 60 has_documents "$store/search" 1001
    expect "for what is new" - is_of_the_team 1
}

# is_of_the_team COUNT: so many documents.
is_of_the_team() {
    [ "$(documents "$store/search" | jq 'select(._source.team == "shop")._id' | wc -l)" -eq "$1" ]
}

# documents INDEX
documents() {
    curl --silent --show-error --fail --max-time 10 "http://$1/_docs"
}

# has_documents INDEX COUNT: exactly so many.
has_documents() {
    local count
    count=$(documents "$1" | grep --count '^{' || true)
    echo "$count documents"
    [ "$count" -eq "$2" ]
}

is_parsed() {
    documents "$store/search" | sed -n 1p
    documents "$store/search" | jq --slurp --exit-status 'all(._source.log.level == "info" and (._source.message | startswith("order ")) and (._source.token | startswith("Bearer ***")))' >/dev/null
}

the_last_line_arrives() {
    local written
    pod=plain
    expect "it is accepted under the standard 'restricted'" - k apply --filename "$root/examples/log-sidecar/plain/pod.yaml"
    expect "it becomes ready" log-sidecar becomes_ready "$pod"
    expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"
    expect "lines of several files are stored" log-sidecar eventually 60 plain_has 250
    expect "nothing was restarted" - without_restart "$pod"
    keep_pod
    k delete pod "$pod" --wait=false >/dev/null
    expect "both end within the period" - eventually 60 all_have_ended
    written=$(message app | grep --only-matching 'wrote [0-9]* lines' | tr --complement --delete '0-9')
    expect "log-sidecar ends with 0" - says_in_the_end log-sidecar "exit 0 Completed: log-sidecar: stopped: "
    expect "each of ${written:-no} lines is stored once, the last one too" - stored_numbers "$pod" '^line [0-9]*' "${written:-0}"
    release_pod
}

plain_has() {
    [ "$(stored_of plain | wc -l)" -ge "$1" ]
}
