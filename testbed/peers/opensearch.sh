# shellcheck shell=bash
# log-sidecar into a real OpenSearch: what it refuses as it refuses it, through TLS with a client certificate that is rotated.

check_opensearch() {
    subject=opensearch
    local store logs=$work/os/logs state=$work/os/state
    mkdir -p "$work/os"
    server_port[opensearch]=$(free_port)
    launch opensearch java -Xmx512m -cp "$cache/opensearch/*" "$here/opensearch/Node.java" "$work/os/node" "${server_port[opensearch]}"
    store=http://127.0.0.1:${server_port[opensearch]}
    quietly eventually 120 curl --silent --show-error --fail --output /dev/null "$store"

    delivers_each_line_once
    through_tls

    # Whatever the index is not ready for is held, and arrives once it is.
    api PUT closed
    api POST closed/_close
    holds_until "a closed index" closed '' index_closed_exception api POST closed/_open
    holds_until "a missing pipeline" piped '?pipeline=tag' 'pipeline with id \[tag\]' \
        api PUT _ingest/pipeline/tag '{"processors":[{"set":{"field":"tagged","value":true}}]}'
    expect "and is applied then" - test "$(count 'piped' 'q=tagged:true')" -eq 100
    api PUT alias-1
    api PUT alias-2
    api POST _aliases '{"actions":[{"add":{"index":"alias-1","alias":"written"}},{"add":{"index":"alias-2","alias":"written"}}]}'
    holds_until "an alias without write index" written '' 'no write index' \
        api POST _aliases '{"actions":[{"add":{"index":"alias-1","alias":"written","is_write_index":true}}]}'
    api PUT _cluster/settings '{"persistent":{"cluster.max_shards_per_node":1}}'
    holds_until "no more shards" another '' validation_exception \
        api PUT _cluster/settings '{"persistent":{"cluster.max_shards_per_node":null}}'
    api PUT strict '{"mappings":{"dynamic":"strict"}}'
    holds_until "a strict mapping" strict '' strict_dynamic_mapping_exception api PUT strict/_mapping '{"dynamic":true}'
    api PUT blocked '{"settings":{"index.blocks.write":true}}'
    holds_until "a block" blocked '' cluster_block_exception api PUT blocked/_settings '{"index.blocks.write":false}'
    api PUT _index_template/stream '{"index_patterns":["stream-*"],"data_stream":{}}'
    into_a_data_stream
    killed_before_a_rollover
    records_at_fault
    stop_server opensearch
}

# api METHOD PATH [BODY]
api() {
    quietly curl --silent --show-error --fail --output /dev/null --request "$1" "$store/$2" \
        --header 'Content-Type: application/json' ${3:+--data "$3"}
}

# count INDEX [QUERY]
count() {
    curl --silent --request POST "$store/$1/_refresh" >/dev/null
    curl --silent "$store/$1/_count?${2:-}" | jq .count
}

has() {
    local found
    found=$(count "$1" "${3:-}")
    echo "$found documents in $1, not $2"
    [ "$found" = "$2" ]
}

# ship URL [OPTION...]
ship() {
    local to=$1
    shift
    server_port[log-sidecar]=$(free_port)
    launch log-sidecar "$binaries/log-sidecar" --include "$logs/*.log" --to "$to" --state "$state" --log-format text \
        --admin "127.0.0.1:${server_port[log-sidecar]}" --poll 100ms --retry-max 500ms --drain-quiet 100ms "$@"
}

new_volumes() {
    rm -rf "$logs" "$state"
    mkdir -p "$logs"
    : >"$work/log-sidecar.log"
}

said() {
    grep --quiet -- "$1" "$work/log-sidecar.log"
}

# expect_stop TEXT: after SIGTERM it ends with everything delivered.
expect_stop() {
    local code=0 pid=${server_pid[log-sidecar]}
    unset 'server_pid[log-sidecar]'
    kill "$pid"
    wait "$pid" || code=$?
    expect "$1" log-sidecar test "$code" -eq 0
}

delivers_each_line_once() {
    local index=lines to round
    to=opensearch+http://127.0.0.1:${server_port[opensearch]}/$index
    new_volumes
    for round in 1 2 3 4; do
        seq $((round * 10000 - 9999)) $((round * 10000)) >>"$logs/app.log"
        ship "$to"
        quietly eventually 30 said 'acked\|the sink is there'
        sleep 0.3
        kill -KILL "${server_pid[log-sidecar]}"
        stop_server log-sidecar
    done
    ship "$to"
    expect "40,000 lines, killed four times" log-sidecar eventually 60 has "$index" 40000
    expect_stop "stops with everything delivered"
    expect "each once" - has "$index" 40000
    expect "none rejected" - test ! -s "$state/dead-letter.ndjson"
}

# clients NAME: a CA of clients, and a certificate of it in tls.crt and tls.key.
clients() {
    authority "$1"
    issue "$1-client" "$1" CA:FALSE ''
    cp "$1-client.pem" tls.crt
    cp "$1-client.key" tls.key
}

through_tls() {
    local dir=$work/opensearch-nginx
    mkdir -p "$dir/temp"
    server_port[opensearch-nginx]=$(free_port)
    sed -e "s|@WORK@|$work|g; s|@PORT@|${server_port[opensearch-nginx]}|; s|@STORE@|${server_port[opensearch]}|" \
        "$here/opensearch/nginx.conf" >"$dir/nginx.conf"
    cd "$dir"
    quietly clients first
    cp first.pem clients.pem
    launch opensearch-nginx nginx -p "$dir" -c "$dir/nginx.conf" -e "$work/opensearch-nginx.log"
    quietly eventually 20 listens opensearch-nginx
    echo "$password" >"$dir/password"
    new_volumes
    seq 10000 >"$logs/app.log"
    ship "opensearch+https://127.0.0.1:${server_port[opensearch-nginx]}/logs/secure" --ca "$work/tls/ca.pem" \
        --client-certificate "$dir/tls.crt" --client-key "$dir/tls.key" --username alice --password "file:$dir/password"
    # nginx takes no more than 64k a request: it is split until it fits.
    expect "through TLS, a login and a path" log-sidecar eventually 60 has secure 10000
    # The server wants clients of another CA from now on.
    quietly clients second
    cp second.pem clients.pem
    kill -HUP "${server_pid[opensearch-nginx]}"
    seq 10001 20000 >>"$logs/app.log"
    expect "under a rotated client certificate" log-sidecar eventually 60 has secure 20000
    expect "which was read anew" - said 'certificates were read anew'
    htpasswd -Bbn alice "new-$password" >"$work/nginx.htpasswd"
    seq 20001 30000 >>"$logs/app.log"
    expect "a login that is refused is waited for" log-sidecar eventually 20 said 'status 401'
    echo "new-$password" >"$dir/password"
    expect "until the Secret has the new one" log-sidecar eventually 60 has secure 30000
    expect_stop "stops with everything delivered"
    expect "and never said the password" - never_said "$password"
    quietly make_logins
    stop_server opensearch-nginx
    cd "$OLDPWD"
}

never_said() {
    ! grep --fixed-strings -- "$1" "$work/log-sidecar.log"
}

# holds_until CAUSE INDEX QUERY TEXT COMMAND...: the command mends it.
holds_until() {
    local cause=$1 index=$2 query=$3 text=$4
    shift 4
    new_volumes
    seq 100 >"$logs/app.log"
    ship "opensearch+http://127.0.0.1:${server_port[opensearch]}/$index$query"
    expect "$cause is told" log-sidecar eventually 20 said "$text"
    expect "$cause rejects nothing" - test ! -s "$state/dead-letter.ndjson"
    "$@"
    expect "$cause, mended: all arrives" log-sidecar eventually 30 has "$index" 100
    expect_stop "$cause, mended: nothing is left"
}

into_a_data_stream() {
    new_volumes
    seq 100 >"$logs/app.log"
    ship "opensearch+http://127.0.0.1:${server_port[opensearch]}/stream-app"
    expect "a data stream" log-sidecar eventually 30 has stream-app 100
    api POST stream-app/_rollover
    seq 101 200 >>"$logs/app.log"
    expect "also after a rollover" log-sidecar eventually 30 has stream-app 200
    expect_stop "and stops"
}

# What it sends again after a kill is in the index before the rollover already.
killed_before_a_rollover() {
    local index=stream-killed life
    new_volumes
    for life in 1 2 3; do
        seq $((life * 20000 - 19999)) $((life * 20000)) >>"$logs/app.log"
        ship "opensearch+http://127.0.0.1:${server_port[opensearch]}/$index"
        [ "$life" -gt 1 ] || quietly eventually 20 cp "$state/checkpoint.json" "$work/os/first.json"
        quietly eventually 60 has "$index" $((life * 20000))
        kill -KILL "${server_pid[log-sidecar]}"
        stop_server log-sidecar
        # As if nothing had been saved since its first look.
        cp "$work/os/first.json" "$state/checkpoint.json"
        api POST "$index/_rollover"
    done
    ship "opensearch+http://127.0.0.1:${server_port[opensearch]}/$index"
    expect "60,000 lines, killed before three rollovers" log-sidecar eventually 60 acked 60000
    expect_stop "stops with everything delivered"
    expect "each once" - has "$index" 60000
}

acked() {
    curl --silent "http://127.0.0.1:${server_port[log-sidecar]}/metrics" | grep --fixed-strings --line-regexp "log_records_acked_total $1"
}

# Here the records are at fault: a number is wanted, and some are words.
records_at_fault() {
    api PUT numbers '{"mappings":{"properties":{"message":{"type":"long"}}}}'
    new_volumes
    seq 100 | sed '/7/s/^/number /' >"$logs/app.log"
    ship "opensearch+http://127.0.0.1:${server_port[opensearch]}/numbers"
    expect "records that do not fit: the others arrive" log-sidecar eventually 30 has numbers 81
    expect "are kept" log-sidecar eventually 10 letters 19
    expect "with the reason" - grep --quiet mapper_parsing_exception "$state/dead-letter.ndjson"
    expect "are sent again, and refused again" - fails_with 1 'sent again 19, taken 0, refused again 19' replay numbers
    expect "are kept once" - letters 19
    expect "are sent again, to where they fit" - tells 'sent again 19, taken 19' replay words
    expect "are there" - has words 19
    expect "are kept no longer" - test ! -e "$state/dead-letter.ndjson"
    expect_stop "and it stops well"
}

letters() {
    local found
    found=$(wc -l <"$state/dead-letter.ndjson")
    echo "$found lines, not $1"
    [ "$found" -eq "$1" ]
}

replay() {
    "$binaries/log-sidecar" replay --to "opensearch+http://127.0.0.1:${server_port[opensearch]}/$1" --state "$state" --log-format text
}
