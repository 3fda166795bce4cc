# shellcheck shell=bash
# The story, step by step, seen from outside: the same for Docker, podman and Kubernetes.

story() {
    wait_for_start
    the_war_is_deployed
    probes_need_no_shell
    every_line_is_stored_once
    traffic_survives_a_backend
    monitoring_is_served
}

wait_for_start() {
    expect "the application is up" tomcat eventually 90 answers 200 "$app/health"
}

the_war_is_deployed() {
    expect "init-copy has put sample.war into the volume" tomcat \
        cmp "$(sample_war)" "$(mounted tomcat /tomcat/webapps)/sample.war"
    expect "Tomcat has deployed it: /sample/ answers 200" tomcat eventually 30 answers 200 "$app/sample/"
}

probes_need_no_shell() {
    expect "an exec probe of log-sidecar" log-sidecar exec_in log-sidecar /log-sidecar probe http://127.0.0.1:9601/healthz
    expect "an exec probe of proxy-sidecar's loopback listener" proxy-sidecar exec_in proxy-sidecar /proxy-sidecar probe tcp://127.0.0.1:9200
    expect "an exec probe of adapter-sidecar" adapter-sidecar exec_in adapter-sidecar /adapter-sidecar probe http://127.0.0.1:9603/readyz
}

every_line_is_stored_once() {
    local requests=400 codes=$work/log-codes killed
    # The codes on stderr, since curl keeps back what it writes to stdout.
    curl --silent --rate 100/s --max-time 10 --output /dev/null --write-out '%{stderr}%{http_code}\n' \
        "http://$app/sample/?story=$engine&line=[1-$requests]" 2>"$codes" &
    traffic=$!
    eventually 30 at_least 150 "$codes"
    killed=$(pid_of log-sidecar)
    kill -KILL "$killed"
    expect "log-sidecar is restarted after kill -9" log-sidecar eventually 30 runs_again log-sidecar "$killed"
    wait_for_traffic
    expect "$requests requests are answered meanwhile" tomcat all_lines 200 "$requests" "$codes"
    # What the new process might send again would come before this one.
    expect "a last request is answered" tomcat answers 200 "$app/sample/?story=$engine&last"
    expect "its line is stored" log-sidecar eventually 60 stored_lines 1 "GET /sample/?story=$engine&last"
    expect "every line of all logs is stored exactly once" log-sidecar eventually 60 nothing_lost_or_doubled '^/logs/'
    expect "the $requests requests are among them" log-sidecar stored_lines "$requests" "GET /sample/?story=$engine&line="
}

traffic_survives_a_backend() {
    local requests=800 answers=$work/order-answers codes=$work/order-codes
    curl --silent --no-buffer --rate 100/s --max-time 30 --write-out '%{stderr}%{http_code}\n' \
        "http://$app/orders?n=[1-$requests]" >"$answers" 2>"$codes" &
    traffic=$!
    eventually 30 at_least 200 "$codes"
    expect "all three backends take their share" proxy-sidecar eventually 5 share_work "$answers"
    backend_ends
    wait_for_traffic
    expect "with one of them killed, all $requests requests are answered 200" proxy-sidecar \
        all_lines 200 "$requests" "$codes"
    backend_returns
    expect "it is used again when it is back" proxy-sidecar eventually 60 says '^hello from b2' "$app/orders"
}

# The requests that run in the background, if any.
traffic=

wait_for_traffic() {
    wait "$traffic" || true
    traffic=
}

monitoring_is_served() {
    expect "the adapter answers /health with the application's metrics" adapter-sidecar \
        says '^tomcat_requests_total\{' "$adapter/health"
    expect "the adapter answers /metrics with the application's health" adapter-sidecar \
        says '^app_health_component_up\{component="orders"\} 1$' "$adapter/metrics"
    expect "promtool finds nothing wrong with it" adapter-sidecar lints "$adapter/metrics"
    start_prometheus
    expect "Prometheus' target is up" adapter-sidecar eventually 30 prometheus_finds 'up{job="adapter"} == 1'
    expect "Prometheus knows that the application's orders are up" adapter-sidecar eventually 30 \
        prometheus_finds 'app_health_component_up{job="adapter", component="orders"} == 1'
    stop_prometheus
}

everything_stops_in_time() {
    local started=$SECONDS role
    expect "SIGTERM is delivered" - pod_stop
    for role in log-sidecar proxy-sidecar adapter-sidecar; do
        expect "$role ends with exit code 0" "$role" eventually $((started + 30 - SECONDS)) has_exited "$role" 0
    done
    expect "Tomcat ends by the signal" tomcat eventually $((started + 30 - SECONDS)) has_exited tomcat 143
    expect "the stop has lost no line of the access log" log-sidecar nothing_lost_or_doubled '^/logs/localhost_access_log'
    expect "nor doubled one of any log" log-sidecar nothing_doubled
}
