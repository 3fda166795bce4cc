# shellcheck shell=bash
# The examples of examples/proxy-sidecar under Docker Compose: what the application gets. (Their pods are shown on Kubernetes.)

proxy_examples() {
    export TLS=$work/proxy-tls PASSWORD=secret-of-a-test
    quietly make_proxy_certificates
    proxy_example cluster members_come_and_go "search-1 search-2 search-3"
    proxy_example grpc servers_come_and_go "stock-1 stock-2 stock-3"
    proxy_example mutual-tls a_renewed_certificate_is_shown orders
    proxy_example postgresql the_primary_changes "db-0 db-1"
    unset TLS PASSWORD
}

# A CA, the servers' certificate in `server`, and one for the client.
make_proxy_certificates() {
    mkdir -p "$TLS/server"
    (
        cd "$TLS"
        authority ca
        issue server ca CA:FALSE DNS:orders,DNS:db-0,DNS:db-1
        cp ca.pem ca.crt
        cp ca.pem server/ca.crt
        cp server.pem server/tls.crt
        cp server.key server/tls.key
        cp "$root/testbed/shell/mutual-tls.conf" server/nginx.conf
    )
    client_certificate app-1
    # As a server of PostgreSQL wants its own.
    chown -R 0:65532 "$TLS"
    chmod 0750 "$TLS" "$TLS/server"
    chmod 0640 "$TLS"/*.* "$TLS"/server/*
}

# client_certificate NAME: in the place of the one before.
client_certificate() {
    (
        cd "$TLS"
        issue "$1" ca CA:FALSE ''
        install -m 0640 -g 65532 "$1.key" tls.key
        install -m 0640 -g 65532 "$1.pem" tls.crt
    )
}

# proxy_example CASE CHECK PEERS: up, checked, and down again.
proxy_example() {
    subject="compose, examples/proxy-sidecar/$1"
    export COMPOSE_PROJECT_NAME=proxy-$1
    export COMPOSE_FILE=$root/examples/proxy-sidecar/$1/compose.yaml:$here/proxy-peers.yaml
    example_is_up=yes
    # shellcheck disable=SC2086  # names
    quietly compose up --detach $3
    expect "it comes up" proxy-sidecar compose up --detach app
    "$2"
    expect "the application has no rights" app has_no_rights
    expect "the proxy ends with 0" proxy-sidecar ends_in_order
    example_down >/dev/null 2>&1 || true
    example_is_up=
}

# The application first, as Kubernetes does with a native sidecar.
ends_in_order() {
    compose stop --timeout 15 app
    compose stop --timeout 15 proxy-sidecar
    has_exited proxy-sidecar 0
}

# The application has had its answers all the time.
no_error_was_seen() {
    local asked
    quietly compose stop --timeout 20 app
    asked=$(log_of app | grep '^asked')
    expect "the application has seen no error: $asked" app grep --quiet ' times, 0 failed$' <<<"$asked"
    quietly compose start app
}

members_come_and_go() {
    expect "all three answer" proxy-sidecar eventually 20 members_answer 'search-1 search-2 search-3'
    quietly compose kill search-2
    expect "of those that are left, both answer" proxy-sidecar eventually 20 members_answer 'search-1 search-3'
    quietly compose start search-2
    expect "who comes back is used again" proxy-sidecar eventually 60 members_answer 'search-1 search-2 search-3'
    no_error_was_seen
}

servers_come_and_go() {
    expect "calls of one connection are spread over all three" proxy-sidecar eventually 20 servers_answer 'stock-1 stock-2 stock-3'
    quietly compose kill -s USR1 stock-2
    expect "who says NOT_SERVING gets none" proxy-sidecar eventually 20 servers_answer 'stock-1 stock-3'
    quietly compose kill stock-2
    quietly compose start stock-2
    expect "who comes back is used again" proxy-sidecar eventually 60 servers_answer 'stock-1 stock-2 stock-3'
    no_error_was_seen
}

# servers_answer NAMES: of the calls of two seconds, each of these answers some.
servers_answer() {
    local said
    said=$(exec_in app /usr/local/bin/calls load 127.0.0.1:50051 2)
    echo "$said"
    [ "$(cut -d' ' -f4- <<<"$said")" = "$1" ]
}

# members_answer NAMES: of forty requests, each of these answers some.
members_answer() {
    local seen
    seen=$(exec_in app curl --silent --show-error --fail "http://127.0.0.1:9200/?[1-40]" | sed 's/^hello from //' | sort --unique | paste -sd ' ')
    echo "$seen"
    [ "$seen" = "$1" ]
}

a_renewed_certificate_is_shown() {
    expect "the application gets its answer" app eventually 20 app_is_told 'hello CN=app-1'
    expect "the server takes nobody without a certificate" - refuses_us
    quietly client_certificate app-2
    expect "a renewed one is shown without a restart" proxy-sidecar eventually 20 app_is_told 'hello CN=app-2'
}

the_primary_changes() {
    expect "orders are stored" app eventually 60 stored_orders 10
    quietly compose stop --timeout 20 db-0
    quietly exec_in db-1 bash -c 'PGDATA=/data/server $(echo /usr/lib/postgresql/*/bin/pg_ctl) promote'
    expect "the other one becomes the primary, and they go on" app eventually 60 stored_orders 25
    expect "every order that was acknowledged is there" app all_orders_are_there
}
