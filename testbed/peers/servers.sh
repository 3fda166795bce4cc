# shellcheck shell=bash
# Registries and nginx on loopback, each with a folder of its own under $work, ended by pid.

declare -A server_pid server_port

# launch NAME COMMAND...: in the background; what it says is in $work/NAME.log.
launch() {
    local name=$1
    shift
    "$@" >>"$work/$name.log" 2>&1 &
    server_pid[$name]=$!
}

stop_server() {
    local pid=${server_pid[$1]:-}
    unset "server_pid[$1]"
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
}

stop_servers() {
    local name
    for name in "${!server_pid[@]}"; do stop_server "$name"; done
}

# For report.sh, which shows the log of whom it is told: here that is a server.
log_of() { cat "$work/$1.log"; }

# start_registry NAME: again on the same port with the same content, if it ran before.
start_registry() {
    local name=$1 dir=$work/$1
    mkdir -p "$dir"
    : "${server_port[$name]:=$(free_port)}"
    {
        echo "version: 0.1"
        echo "log: {level: error, accesslog: {disabled: false}}"
        echo "storage: {filesystem: {rootdirectory: $dir/data}, delete: {enabled: true}}"
        echo "http:"
        echo "  addr: 127.0.0.1:${server_port[$name]}"
        case $name in *tls*) echo "  tls: {certificate: $work/tls/server.pem, key: $work/tls/server.key}" ;; esac
        case $name in *auth*) echo "auth: {htpasswd: {realm: test, path: $work/registry.htpasswd}}" ;; esac
    } >"$dir/config.yml"
    launch "$name" docker-registry serve "$dir/config.yml"
    quietly eventually 20 listens "$name"
}

listens() {
    (: <"/dev/tcp/127.0.0.1/${server_port[$1]}")
}

start_nginx() {
    local dir=$work/nginx
    mkdir -p "$dir/temp"
    server_port[nginx]=$(free_port)
    server_port[nginx-tls]=$(free_port)
    sed -e "s|@WORK@|$work|g; s|@PORT@|${server_port[nginx]}|g; s|@TLS_PORT@|${server_port[nginx-tls]}|" \
        "$here/nginx.conf" >"$dir/nginx.conf"
    launch nginx nginx -p "$dir" -c "$dir/nginx.conf" -e "$work/nginx.log"
    quietly eventually 20 listens nginx
}

# A CA, and a certificate by it for 127.0.0.1.
make_certificates() {
    mkdir -p "$work/tls"
    (
        cd "$work/tls"
        authority ca
        issue server ca CA:FALSE IP:127.0.0.1,DNS:localhost
    )
}

make_logins() {
    # The registry knows bcrypt only, nginx what crypt(3) knows and Apache's MD5.
    htpasswd -Bbn alice "$password" >"$work/registry.htpasswd"
    echo "alice:$(openssl passwd -apr1 "$password")" >"$work/nginx.htpasswd"
}
