# shellcheck shell=bash
# log-sidecar into a store of objects that is not ours (s3s-fs), which checks each signature and checksum by itself; through kills of ours
# and a restart of it.

check_objects() {
    subject=objects
    local dir=$work/objects logs=$work/objects/logs state=$work/objects/state secret round
    secret=$(openssl rand -hex 20)
    mkdir -p "$dir/buckets/logs"
    server_port[objects]=$(free_port)
    start_store
    export AWS_ACCESS_KEY_ID=AKIDEXAMPLE

    new_volumes
    for round in 1 2 3 4 5; do
        seq $((round * 4000 - 3999)) $((round * 4000)) | sed 's/.*/line &/' >>"$logs/app.log"
        collect "app/%Y" "$secret"
        quietly eventually 30 keeps "$((round * 4000 - 2000))"
        kill -KILL "${server_pid[log-sidecar]}"
        stop_server log-sidecar
    done
    collect "app/%Y" "$secret"
    expect "20,000 lines through five kills" log-sidecar eventually 30 keeps 20000
    expect_stop "stops with everything delivered"
    expect "each once" - test "$(zcat "$dir"/buckets/logs/app/*/*.gz | wc -l)" -eq 20000
    expect "in folders of the year" - test -d "$dir/buckets/logs/app/$(date --utc +%Y)"

    new_volumes
    seq 100 | sed 's/.*/line &/' >"$logs/app.log"
    collect odd "x$secret"
    expect "a wrong key is told, and waited for" log-sidecar eventually 30 said SignatureDoesNotMatch
    kill -KILL "${server_pid[log-sidecar]}"
    stop_server log-sidecar
    stop_server objects
    collect "odd/with space+plus" "$secret"
    expect "a store that is away is waited for" log-sidecar eventually 20 said 'did not take everything'
    start_store
    expect "and gets all of it" log-sidecar eventually 30 finds 100 "$dir/buckets/logs/odd/with space+plus"
    expect_stop "and it stops well"
    unset AWS_ACCESS_KEY_ID
    stop_server objects
}

start_store() {
    launch objects s3s-fs --host 127.0.0.1 --port "${server_port[objects]}" --access-key AKIDEXAMPLE --secret-key "$secret" "$dir/buckets"
    quietly eventually 20 listens objects
}

# collect FOLDER SECRET
collect() {
    AWS_SECRET_ACCESS_KEY=$2 ship "s3://logs/$1" --s3-endpoint "http://127.0.0.1:${server_port[objects]}" --compress gzip \
        --flush-interval 200ms --batch-size 64KiB --max-record 16KiB --header x-amz-meta-team=shop
}

keeps() {
    finds "$1" "$dir/buckets/logs/app"
}

# finds COUNT FOLDER: there are as many lines, or more.
finds() {
    local found
    found=$(find "$2" -name '*.gz' -exec zcat {} + 2>/dev/null | sed 's/.*"message":"line \([0-9]*\)".*/\1/' | sort --unique | wc -l)
    echo "$found lines, not $1"
    [ "$found" -ge "$1" ]
}
