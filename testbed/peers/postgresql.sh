# shellcheck shell=bash
# proxy-sidecar before a primary and its standby of PostgreSQL, which take nobody but in TLS, through a change of roles under load.

check_postgresql() {
    subject=postgresql
    local dir=$work/postgresql port check tools
    tools=$(echo /usr/lib/postgresql/*/bin)
    port=$(free_port)
    check=$(free_port)
    server_port[ambassador]=$(free_port)
    export PGPASSWORD=$password PGCONNECT_TIMEOUT=10
    mkdir -p "$dir"
    install -m 0600 "$work/tls/server.key" "$dir/server.key"
    chown -R postgres "$dir"
    quietly make_primary
    quietly make_standby
    launch primary-one python3 "$here/../shell/primary.py" 127.0.0.1 "$check" "$dir" "$port"
    launch primary-two python3 "$here/../shell/primary.py" 127.0.0.2 "$check" "$dir/two" "$port"
    launch ambassador "$binaries/proxy-sidecar" --listen "127.0.0.1:${server_port[ambassador]}" --admin off \
        --to "postgres://127.0.0.1:$port,postgres://127.0.0.2:$port" --ca "$work/tls/ca.pem" --tls-name localhost \
        --health "http://*:$check/primary" --health-policy require --health-interval 200ms --resolve-timeout 20s

    expect "a client with sslmode=disable" ambassador eventually 20 sql disable 'select 1'
    expect "has TLS behind the proxy" ambassador in_tls disable
    expect "one with prefer is told that there is none, and has it" ambassador in_tls prefer
    expect "one with require is told so" ambassador fails_with 2 'server does not support SSL' sql require 'select 1'
    expect "the server itself takes nobody without" - fails_with 2 'no encryption' \
        psql "host=127.0.0.1 port=$port user=app dbname=postgres sslmode=disable"
    expect "a wrong login is told by the server" ambassador fails_with 2 'password authentication failed' \
        env PGPASSWORD=wrong psql "host=127.0.0.1 port=${server_port[ambassador]} user=app dbname=postgres"
    expect "a cancelled query" ambassador fails_with 124 'canceling statement due to user request' \
        timeout --signal INT 2 psql "host=127.0.0.1 port=${server_port[ambassador]} user=app dbname=postgres" --command 'select pg_sleep(30)'
    quietly sql prefer 'create table kept (number int primary key)'
    expect "10 s of pgbench, eight clients" ambassador bench

    : >"$dir/acknowledged"
    insert_until "$dir/stop" &
    local writer=$!
    sleep 1
    psql "host=127.0.0.1 port=${server_port[ambassador]} user=app dbname=postgres" --command 'select pg_sleep(60)' >"$dir/idle.log" 2>&1 &
    local idle=$!
    sleep 1
    quietly run_tool pg_ctl -D "$dir/one" -m fast stop
    quietly run_tool pg_ctl -D "$dir/two-data" promote
    expect "after a change of roles, writes go to the other" ambassador eventually 20 is_of_two
    expect "who waited on the old one knows" - ends_badly "$idle"
    sleep 1
    touch "$dir/stop"
    wait "$writer"
    expect "every write that was acknowledged is there" ambassador all_are_there
    stop_server ambassador
    stop_server primary-one
    stop_server primary-two
    quietly run_tool pg_ctl -D "$dir/two-data" -m fast stop
    unset PGPASSWORD PGCONNECT_TIMEOUT
}

# run_tool NAME ARGUMENT...: one of the server's, as its user.
run_tool() {
    local name=$1
    shift
    runuser --user postgres -- "$tools/$name" "$@"
}

make_primary() {
    echo "$password" >"$dir/password"
    chown postgres "$dir/password"
    run_tool initdb -D "$dir/one" --auth-local trust --auth-host scram-sha-256 --pwfile "$dir/password" --username app
    printf '%s\n' 'local all all trust' 'local replication all trust' 'hostssl all all 127.0.0.0/8 scram-sha-256' >"$dir/one/pg_hba.conf"
    cat >>"$dir/one/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
ssl = on
ssl_cert_file = '$work/tls/server.pem'
ssl_key_file = '$dir/server.key'
fsync = off
END
    run_tool pg_ctl -D "$dir/one" --log "$dir/one.log" --wait start
}

make_standby() {
    run_tool pg_basebackup --host "$dir" --port "$port" --username app --pgdata "$dir/two-data" --write-recovery-conf
    install --directory --owner postgres "$dir/two"
    cat >>"$dir/two-data/postgresql.conf" <<END
listen_addresses = '127.0.0.2'
unix_socket_directories = '$dir/two'
END
    run_tool pg_ctl -D "$dir/two-data" --log "$dir/two.log" --wait start
}

# sql SSLMODE STATEMENT: through the proxy.
sql() {
    psql "host=127.0.0.1 port=${server_port[ambassador]} user=app dbname=postgres sslmode=$1" \
        --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 --command "$2"
}

in_tls() {
    local said
    said=$(sql "$1" "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()")
    echo "$said"
    [ "$said" = 't|TLSv1.3' ]
}

bench() {
    local at=(-h 127.0.0.1 -p "${server_port[ambassador]}" -U app) said
    pgbench "${at[@]}" -q -i -s 2 postgres 2>&1
    said=$(pgbench "${at[@]}" -c 8 -T 10 postgres 2>&1)
    echo "$said"
    grep --quiet 'number of failed transactions: 0 ' <<<"$said"
}

# A connection for each row; rows whose write was acknowledged are noted.
insert_until() {
    local number=0
    while [ ! -e "$1" ]; do
        number=$((number + 1))
        if sql prefer "insert into kept values ($number)" >/dev/null 2>&1; then echo "$number" >>"$dir/acknowledged"; fi
    done
}

is_of_two() {
    local said
    said=$(sql prefer 'select inet_server_addr()')
    echo "$said"
    [ "$said" = 127.0.0.2 ]
}

# ends_badly PID: soon, and not with success.
ends_badly() {
    eventually 10 gone "$1"
    ! wait "$1"
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

all_are_there() {
    echo "$(wc -l <"$dir/acknowledged") acknowledged"
    [ "$(wc -l <"$dir/acknowledged")" -gt 20 ]
    diff <(sort -n "$dir/acknowledged") <(sql prefer 'select number from kept order by number') | tee "$dir/difference" | head -5
    ! grep --quiet '^<' "$dir/difference"
}
