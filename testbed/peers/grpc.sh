# shellcheck shell=bash
# proxy-sidecar between clients and servers of gRPC's own library, and of nghttp2.

check_grpc() {
    subject=grpc
    local dir=$work/grpc name to=''
    mkdir -p "$dir"
    server_port[ambassador]=$(free_port)
    for name in one two three; do
        server_port[$name]=$(free_port)
        to+=${to:+,}grpc://127.0.0.1:${server_port[$name]}
        calls_from "$name"
    done
    ambassador "$to" --health 'grpc://*' --health-interval 200ms
    expect "a call" ambassador asks echo
    expect "a refusal, with its details and trailers" ambassador asks refuse
    expect "a method that is not there" ambassador asks unknown
    expect "a deadline" ambassador asks deadline
    expect "both directions at once" ambassador asks both
    expect "13 MB down" ambassador asks down
    expect "12 MB up" ambassador asks up
    expect "one connection of a client is spread over three servers" ambassador spread 2 'one three two'

    load_for 6
    sleep 2
    kill -KILL "${server_pid[one]}"
    wait "${server_pid[one]}" 2>/dev/null || true
    expect "a killed server fails only what was under way" ambassador survives 8 5
    calls_from one
    expect "is back" ambassador eventually 20 spread 1 'one three two'

    load_for 8
    sleep 2
    kill -STOP "${server_pid[two]}"
    sleep 4
    kill -CONT "${server_pid[two]}"
    expect "a frozen server fails nothing, and others serve" ambassador survives 0 6
    expect "once it goes on, it has its share" ambassador eventually 30 spread 1 'one three two'

    kill -USR1 "${server_pid[three]}"
    expect "who says NOT_SERVING is not asked" ambassador eventually 10 spread 1 'one two'
    stop_server one
    stop_server two
    stop_server three
    expect "nobody is there, in words of gRPC" ambassador asks nobody

    calls_from one "$work/tls/server.pem" "$work/tls/server.key"
    ambassador "grpcs://127.0.0.1:${server_port[one]}" --ca "$work/tls/ca.pem" --tls-name localhost
    expect "a server in TLS" ambassador asks echo both down
    stop_server one

    head -c 3000000 /dev/urandom >"$dir/large"
    echo small >"$dir/small"
    launch one nghttpd --no-tls --htdocs "$dir" --address 127.0.0.1 "${server_port[one]}"
    ambassador "h2c://127.0.0.1:${server_port[one]}"
    expect "curl and nghttpd" ambassador eventually 10 same_by_curl "$dir/large"
    expect "20,000 requests of h2load, 4 clients with 50 at once" ambassador loaded
    expect "curl is told that HTTP/1.1 is not spoken" ambassador told_by_curl
    stop_server ambassador
    stop_server one
}

# calls_from NAME [CERTIFICATE KEY]
calls_from() {
    launch "$1" /usr/bin/python3 "$here/../shell/calls.py" serve "127.0.0.1:${server_port[$1]}" "$@"
}

# ambassador TO [FLAG...]: in the place of the one before.
ambassador() {
    stop_server ambassador
    launch ambassador "$binaries/proxy-sidecar" --listen "127.0.0.1:${server_port[ambassador]}" --admin off --to "$@"
}

asks() {
    eventually 10 /usr/bin/python3 "$here/../shell/calls.py" ask "127.0.0.1:${server_port[ambassador]}" "$@"
}

# load_for SECONDS: in the background; what it says is for `survives`.
load_for() {
    /usr/bin/python3 "$here/../shell/calls.py" load "127.0.0.1:${server_port[ambassador]}" "$1" >"$work/grpc/load" 2>"$work/grpc/failures" &
    load_pid=$!
}

# survives FAILED SLOWEST: the load has ended, with so many failures at most and no call slower than so many seconds.
survives() {
    wait_for "$load_pid"
    cat "$work/grpc/load" "$work/grpc/failures"
    awk -v failed="$1" -v slowest="$2" '{ exit !($1 > 500 && $2 <= failed && $3 <= slowest) }' "$work/grpc/load"
}

# wait_for PID: also of a process that is another shell's.
wait_for() {
    while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
}

# spread SECONDS 'NAME...': these answer, and no others.
spread() {
    local said
    said=$(/usr/bin/python3 "$here/../shell/calls.py" load "127.0.0.1:${server_port[ambassador]}" "$1")
    echo "$said"
    [ "$(cut -d' ' -f4- <<<"$said")" = "$2" ] && [ "$(cut -d' ' -f2 <<<"$said")" -eq 0 ]
}

same_by_curl() {
    curl --silent --show-error --fail --http2-prior-knowledge "http://127.0.0.1:${server_port[ambassador]}/${1##*/}" | cmp - "$1"
}

told_by_curl() {
    says 'it is not HTTP/2 from the first byte' curl --silent --show-error --http1.1 "http://127.0.0.1:${server_port[ambassador]}/small"
}

loaded() {
    says 'status codes: 20000 2xx' \
        h2load --requests 20000 --clients 4 --max-concurrent-streams 50 "http://127.0.0.1:${server_port[ambassador]}/small"
}

# says TEXT COMMAND...
says() {
    local text=$1 said
    shift
    said=$("$@")
    echo "$said"
    grep -qF "$text" <<<"$said"
}
