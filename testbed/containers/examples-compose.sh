# shellcheck shell=bash
# The examples under Docker Compose.

engine=docker
export FILES=$work/files

compose() {
    if command -v docker-compose >/dev/null; then docker-compose "$@"; else docker compose "$@"; fi
}

container() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1"
}

prepare_example() {
    export COMPOSE_PROJECT_NAME=example-$case_name
    export COMPOSE_FILE=$root/examples/init-copy/$case_name/compose.yaml:$here/examples-peers.yaml
    # Empty: Docker chooses a free port.
    export APP_PORT=''
}

# Without what is outside: that is started by itself.
example_up() {
    compose up --detach app
}

start_files() {
    compose up --detach files
}

start_registry() {
    compose up --detach registry
}

find_example() {
    app=$(compose port app 8080)
}

run_init_again() {
    docker start --attach "$(container init-copy)"
}

becomes_healthy() {
    expect "it becomes healthy" app eventually 30 is_healthy
}

is_healthy() {
    local state
    state=$(docker inspect --format '{{.State.Health.Status}}' "$(container app)")
    echo "$state"
    [ "$state" = healthy ]
}

example_down() {
    compose down --volumes --timeout 0
}
