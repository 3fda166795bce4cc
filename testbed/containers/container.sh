# shellcheck shell=bash
# What Docker and podman say of a container, and do with it, alike.

# address_of CONTAINER: its address on the engine's network.
address_of() {
    "$engine" inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"
}

pid_of() {
    "$engine" inspect --format '{{.State.Pid}}' "$(container "$1")"
}

# mounted ROLE PATH: where a volume of the container lies on the host.
mounted() {
    "$engine" inspect --format "{{range .Mounts}}{{if eq .Destination \"$2\"}}{{.Source}}{{end}}{{end}}" "$(container "$1")"
}

has_exited() {
    local state
    state=$("$engine" inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$(container "$1")")
    echo "$state"
    [ "$state" = "exited $2" ]
}

log_of() {
    "$engine" logs --tail 20 "$(container "$1")"
}

# exec_in ROLE COMMAND...
exec_in() {
    local role=$1
    shift
    "$engine" exec "$(container "$role")" "$@"
}

backend_ends() {
    "$engine" kill "$(container backend-2)" >/dev/null
}

backend_returns() {
    "$engine" start "$(container backend-2)" >/dev/null
}

# The lines of all files in the volume, each after the path that log-sidecar knows it by.
written() {
    cd "$(mounted tomcat /tomcat/logs)"
    find . -type f -exec awk '{ sub(/^\./, "/logs", FILENAME); print FILENAME "\t" $0 }' {} +
}
