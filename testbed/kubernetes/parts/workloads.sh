# shellcheck shell=bash
# The workloads of examples/workloads: a Job and a CronJob that end, a Deployment that is released under load, a DaemonSet, and a
# StatefulSet that keeps its state.

workloads=$root/examples/workloads

check_workloads() {
    enter workloads
    make_site
    meet store backend-1 backend-2 backend-3 files
    store=$(address_of store):9200
    # Its next minute may be far: looked at when the others are done.
    cronjob_begins
    subject="workloads/job.yaml"
    job_ends
    subject="workloads/daemonset.yaml"
    daemonset_is_released
    subject="workloads/statefulset.yaml"
    statefulset_keeps_its_state
    subject="workloads/deployment.yaml"
    deployment_is_released
    subject="workloads/cronjob.yaml"
    cronjob_ends
    leave
}

# apply FILE
apply() {
    expect "it is accepted under the standard 'restricted'" - accepted "$workloads/$1"
}

# A workload is taken with a warning when its pods would be refused.
accepted() {
    local said
    said=$(k apply --filename "$1" 2>&1) || { echo "$said"; return 1; }
    echo "$said"
    ! grep --quiet Warning <<<"$said"
}

job_ends() {
    apply job.yaml
    job_delivers settle 'order [0-9]* is settled' 2000
}

# job_delivers JOB PATTERN COUNT: it ends, and with it its log-sidecar, which has delivered so many lines.
job_delivers() {
    expect "the Job ends" - k wait --for=condition=Complete "job/$1" --timeout 90s
    pod=$(pod_of "$1")
    expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"
    expect "its sidecar ends with 0, and its account in the termination message" - \
        says_in_the_end log-sidecar "exit 0 Completed: log-sidecar: stopped: read $3, acked $3"
    expect "nothing was restarted" - without_restart "$pod"
    expect "all lines are stored once, the last one too" - stored_numbers "$pod" "$2" "$3"
}

# stored_numbers POD PATTERN COUNT: the numbers of the pod's lines are 1 to COUNT, each once.
stored_numbers() {
    stored_of "$1" | grep -o "$2" | tr --complement --delete '0-9\n' | sort --numeric-sort >"$work/numbers"
    counts_to "$3" "$work/numbers"
}

# counts_to COUNT FILE: its lines are 1 to COUNT, each once and in order.
counts_to() {
    seq "$1" | diff - "$2" | head -n 10
    seq "$1" | cmp - "$2"
}

# stored_of POD: its messages.
stored_of() {
    curl --silent --show-error --fail --max-time 10 "http://$store/app/_docs" |
        jq --raw-output --arg pod "$1" '._source | select(."kubernetes.pod.name" == $pod) | .message'
}

cronjob_begins() {
    subject="workloads/cronjob.yaml"
    apply cronjob.yaml
    k patch cronjob nightly --patch '{"spec": {"schedule": "* * * * *"}}' >/dev/null
}

cronjob_ends() {
    local job
    expect "within a minute it makes a Job, and that ends" - eventually 100 a_nightly_job_has_ended
    k patch cronjob nightly --patch '{"spec": {"suspend": true}}' >/dev/null
    job=$(cat "$work/nightly")
    expect "what was counted is stored" - eventually 5 nightly_is_stored
    pod=$(k get pods --selector "job-name=$job" --output jsonpath='{.items[0].metadata.name}')
    expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"
    expect "nothing was restarted" - without_restart "$pod"
}

a_nightly_job_has_ended() {
    k get jobs
    k get jobs --output json | jq --raw-output --exit-status '[.items[] | select(.metadata.ownerReferences[0].name == "nightly" and .status.succeeded == 1)][0].metadata.name' >"$work/nightly"
}

nightly_is_stored() {
    curl --silent --show-error --fail --max-time 10 "http://$store/app/_docs" | grep --fixed-strings "5000 /input/css/style.css"
}

daemonset_is_released() {
    local codes=$work/daemonset-codes address
    apply daemonset.yaml
    expect "it is on every node" - k rollout status daemonset/orders --timeout 60s
    pod=$(pod_of orders)
    expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"
    address=$(k get service orders --output jsonpath='{.spec.clusterIP}')
    expect "nothing was restarted" - without_restart "$pod"
    expect "the Service is answered by the cluster behind it" proxy-sidecar eventually 20 says '^hello from b' "$address/"
    load 20 "http://$address/?n=" "$codes"
    k patch daemonset orders --patch '{"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}}' >/dev/null
    expect "it is released" - k rollout status daemonset/orders --timeout 60s
    expect "the old pod is gone" - k wait --for=delete "pod/$pod" --timeout 60s
    load_ends "$codes"
}

# load RATE URL CODES: requests with a number behind URL, each by a connection of its own, until load_ends.
load() {
    curl --silent --rate "$1/s" --header 'Connection: close' --max-time 10 --output /dev/null --write-out '%{stderr}%{http_code}\n' \
        "$2[1-20000]" 2>"$3" &
    traffic=$!
    expect "it is under load" - eventually 30 at_least 20 "$3"
}

# load_ends CODES: sets `requests`, how many there were; the one that is under way is not among them.
load_ends() {
    kill "$traffic"
    wait_for_traffic
    requests=$(wc -l <"$1")
    expect "each of $requests requests meanwhile is answered 200" - all_lines 200 "$requests" "$1"
}

statefulset_keeps_its_state() {
    local first last
    make_volume ledger
    apply statefulset.yaml
    pod=ledger-0
    expect "it is ready" - k rollout status statefulset/ledger --timeout 60s
    expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"
    expect "init-copy has copied" init-copy logs_say init-copy '"copied":1'
    expect "lines are stored" log-sidecar eventually 30 ledger_has 20
    first=$(k get pod "$pod" --output jsonpath='{.metadata.uid}')
    k delete pod "$pod" >/dev/null
    expect "the pod is made anew" - eventually 60 is_another "$first"
    expect "it is ready again" - becomes_ready "$pod"
    expect "nothing was restarted" - without_restart "$pod"
    expect "init-copy finds that nothing is to be done" init-copy logs_say init-copy 'nothing to do'
    last=$(($(wc -l <"$state/volumes/ledger/logs/ledger.log") + 20))
    expect "lines go on where they were" log-sidecar eventually 60 ledger_has "$last"
    k scale statefulset ledger --replicas 0 >/dev/null
    expect "it ends" - k wait --for=delete "pod/$pod" --timeout 60s
    last=$(wc -l <"$state/volumes/ledger/logs/ledger.log")
    expect "each of $last lines of both pods is stored once, what they said while they stopped too" - ledger_has_exactly "$last"
}

is_another() {
    local uid
    uid=$(k get pod "$pod" --output jsonpath='{.metadata.uid}') && [ "$uid" != "$1" ]
}

ledger_has() {
    [ "$(stored_of ledger-0 | wc -l)" -ge "$1" ]
}

ledger_has_exactly() {
    stored_numbers ledger-0 '^entry [0-9]*' "$1"
}

deployment_is_released() {
    local codes=$work/deployment-codes address old
    apply deployment.yaml
    expect "both replicas are there" - k rollout status deployment/shop --timeout 120s
    old=$(pod_of shop)
    for pod in $old; do expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod"; done
    address=$(k get service shop --output jsonpath='{.spec.clusterIP}')
    expect "the Service is answered" - eventually 20 answers 200 "$address/sample/"
    load 25 "http://$address/sample/?release=2&n=" "$codes"
    k patch deployment shop --patch '{"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}}' >/dev/null
    expect "it is released" - k rollout status deployment/shop --timeout 180s
    for pod in $old; do expect "the old pod $pod is gone" - k wait --for=delete "pod/$pod" --timeout 90s; done
    load_ends "$codes"
    expect "the line of each is stored once" - eventually 30 requests_are_stored "$requests"
    for pod in $(pod_of shop); do expect "nothing was restarted in $pod" - without_restart "$pod"; done
}

# Of the request that was cut off by the end of the load there may be a line too.
requests_are_stored() {
    stored | grep -o 'release=2&n=[0-9]*' | tr --complement --delete '0-9\n' | sed 's/^2//' | sort --numeric-sort | head -n "$1" >"$work/numbers"
    counts_to "$1" "$work/numbers"
}
