# shellcheck shell=bash
# A real Prometheus on loopback, with a data folder of its own.

start_prometheus() {
    local dir=$work/prometheus-$engine port
    mkdir -p "$dir"
    sed "s/ADAPTER/$adapter/" "$here/prometheus.yml" >"$dir/prometheus.yml"
    port=$(free_port)
    prometheus_address=127.0.0.1:$port
    prometheus --config.file "$dir/prometheus.yml" --storage.tsdb.path "$dir/data" \
        --web.listen-address "$prometheus_address" >"$dir/log" 2>&1 &
    prometheus_pid=$!
}

stop_prometheus() {
    kill "$prometheus_pid"
    wait "$prometheus_pid" || true
    prometheus_pid=
}

# prometheus_finds QUERY: it has at least one result.
prometheus_finds() {
    local answer
    answer=$(curl --silent --show-error --max-time 10 --get "http://$prometheus_address/api/v1/query" --data-urlencode "query=$1") || return
    echo "$answer"
    jq --exit-status '.data.result | length > 0' <<<"$answer" >/dev/null
}
