# shellcheck shell=bash
# The examples of examples/log-sidecar under Docker Compose: what the stores have in the end. (Their pods are shown on Kubernetes.)

log_examples() {
    log_example plain the_last_line_arrives
    log_example two-sinks two_sinks_get_theirs
    log_example job it_ends_after_the_work
}

# log_example CASE CHECK: up, checked, and down again.
log_example() {
    subject="compose, examples/log-sidecar/$1"
    export COMPOSE_PROJECT_NAME=logs-$1
    export COMPOSE_FILE=$root/examples/log-sidecar/$1/compose.yaml:$here/logs-peers.yaml
    example_is_up=yes
    expect "it comes up" log-sidecar compose up --detach
    store=$(address_of "$(container store)"):9200
    "$2"
    example_down >/dev/null 2>&1 || true
    example_is_up=
}

the_last_line_arrives() {
    local written
    expect "lines of several files are stored" log-sidecar eventually 60 has_documents "$store/app" 250 or-more
    expect "the application has no rights" app has_no_rights
    expect "both end within their time" - compose stop log-sidecar app
    written=$(log_of app | sed -n 's/^wrote \([0-9]*\) lines$/\1/p')
    expect "log-sidecar ends with 0" log-sidecar has_exited log-sidecar 0
    expect "each of ${written:-no} lines is stored once, the last one too" log-sidecar counts_to "${written:-0}" 'line '
}

two_sinks_get_theirs() {
    expect "what is searched arrives, without what is left out" log-sidecar eventually 60 has_documents "$store/search" 1000
    expect "what is archived arrives, all of it" log-sidecar eventually 60 \
        has_documents "$(address_of "$(container archive)"):9200/archive" 2000
    expect "in fields, without the token" - is_parsed
    expect "they end within their time" - compose stop log-sidecar app
    expect "log-sidecar ends with 0" log-sidecar has_exited log-sidecar 0
}

it_ends_after_the_work() {
    expect "the work ends" app eventually 30 has_exited app 0
    expect "log-sidecar ends by itself, with 0" log-sidecar eventually 60 has_exited log-sidecar 0
    expect "each line is stored once, the one without its end too" log-sidecar counts_to 3000 'row ' ' is reported'
}

# has_documents INDEX COUNT [or-more]
has_documents() {
    local count
    count=$(curl --silent --show-error --fail --max-time 10 "http://$1/_docs" | grep --count '^{' || true)
    echo "$count documents"
    [ "$count" -eq "$2" ] || { [ -n "${3:-}" ] && [ "$count" -gt "$2" ]; }
}

is_parsed() {
    curl --silent --show-error --fail --max-time 10 "http://$store/search/_docs" |
        jq --slurp --exit-status 'all(._source.log.level == "info" and (._source.message | startswith("order ")) and (._source.token | startswith("Bearer ***")))'
}

# counts_to COUNT BEFORE [AFTER]: the numbers between these texts are 1 to COUNT, each once.
counts_to() {
    stored | cut --fields=2 | sed -n "s/^$2\([0-9]*\)${3:-}\$/\1/p" | sort --numeric-sort >"$work/numbers"
    seq "$1" | diff - "$work/numbers" | head -n 10
    seq "$1" | cmp - "$work/numbers"
}
