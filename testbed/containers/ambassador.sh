# shellcheck shell=bash
# What the applications of examples/proxy-sidecar get, however they run.

app_is_told() {
    local said
    said=$(exec_in app curl --silent --show-error --fail http://127.0.0.1:8081/)
    echo "$said"
    [ "$said" = "$1" ]
}

refuses_us() {
    local said
    said=$(exec_in app curl --silent --insecure https://orders:8443/)
    echo "$said"
    grep --quiet 'No required SSL certificate was sent' <<<"$said"
}

# stored_orders COUNT: so many were acknowledged, at least.
stored_orders() {
    local count
    count=$(exec_in app cat /stored/orders | wc -l)
    echo "$count"
    [ "$count" -ge "$1" ]
}

all_orders_are_there() {
    local missing
    missing=$(comm -23 <(exec_in app cat /stored/orders | sort) \
        <(exec_in app psql --no-align --tuples-only --command 'select number from orders' | sort))
    echo "missing: ${missing:-none}"
    [ -z "$missing" ]
}
