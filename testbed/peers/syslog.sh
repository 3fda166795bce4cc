# shellcheck shell=bash
# log-sidecar into rsyslog, over TCP and in TLS, through a restart of it and kills of ours.

check_syslog() {
    subject=syslog
    local dir=$work/syslog logs=$work/syslog/logs state=$work/syslog/state
    mkdir -p "$dir/spool" "$logs"
    server_port[rsyslog]=$(free_port)
    server_port[rsyslog-tls]=$(free_port)
    {
        echo "global(workDirectory=\"$dir/spool\" maxMessageSize=\"300k\" defaultNetstreamDriverCAFile=\"$work/tls/ca.pem\""
        echo "  defaultNetstreamDriverCertFile=\"$work/tls/server.pem\" defaultNetstreamDriverKeyFile=\"$work/tls/server.key\")"
        echo 'module(load="imtcp")'
        echo "template(name=\"line\" type=\"string\" string=\"%syslogseverity-text% %app-name% %structured-data% %msg%\\n\")"
        echo "ruleset(name=\"keep\") { action(type=\"omfile\" file=\"$dir/messages\" template=\"line\") }"
        echo "input(type=\"imtcp\" port=\"${server_port[rsyslog]}\" address=\"127.0.0.1\" ruleset=\"keep\")"
        echo "input(type=\"imtcp\" port=\"${server_port[rsyslog-tls]}\" address=\"127.0.0.1\" ruleset=\"keep\""
        echo '  streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")'
    } >"$dir/rsyslog.conf"
    start_rsyslog

    seq 10000 | sed 's/.*/{"level":"warn","msg":"line &","code":&}/' >"$logs/app.log"
    forward tcp rsyslog
    expect "10,000 lines over TCP" log-sidecar eventually 30 received 10000
    expect "each with its level, file and fields" - grep --quiet --extended-regexp \
        '^warning app \[log@32473 path="[^"]*/app\.log" id="[^"]*" level="warn" code="77"\] line 77$' "$dir/messages"
    stop_server rsyslog
    seq 10001 20000 | sed 's/.*/{"level":"warn","msg":"line &"}/' >>"$logs/app.log"
    expect "a server that is away is waited for" log-sidecar eventually 20 grep --quiet 'did not take everything' "$work/log-sidecar.log"
    start_rsyslog
    expect "and gets the rest" log-sidecar eventually 30 received 20000
    expect_stop "and it stops well"

    forward tls rsyslog-tls --ca "$work/tls/ca.pem"
    seq 20001 30000 | sed 's/.*/{"level":"warn","msg":"line &"}/' >>"$logs/app.log"
    expect "10,000 lines in TLS" log-sidecar eventually 30 received 30000
    expect_stop "stops with everything delivered"
    expect "each once" - test "$(wc -l <"$dir/messages")" -eq 30000
    stop_server rsyslog
}

start_rsyslog() {
    launch rsyslog rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/rsyslog.pid"
    quietly eventually 20 listens rsyslog
}

# forward SCHEME SERVER [OPTION...]
forward() {
    local scheme=$1 server=$2
    shift 2
    ship "syslog+$scheme://127.0.0.1:${server_port[$server]}" --parse json "$@"
}

received() {
    local found
    found=$(sed 's/.*line //' "$dir/messages" | sort --unique | wc -l)
    echo "$found messages, not $1"
    [ "$found" -eq "$1" ]
}
