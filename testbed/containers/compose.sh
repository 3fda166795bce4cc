# shellcheck shell=bash
# The story under Docker Compose.

engine=docker
export COMPOSE_PROJECT_NAME=all-four COMPOSE_FILE=$root/examples/all-four/compose.yaml:$here/peers.yaml
# Empty: Docker chooses free ports.
export APP_PORT='' ADAPTER_PORT=''

compose() {
    if command -v docker-compose >/dev/null; then docker-compose "$@"; else docker compose "$@"; fi
}

container() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1"
}

pod_up() {
    compose up --detach
}

find_addresses() {
    app=$(compose port tomcat 8080)
    adapter=$(compose port tomcat 9102)
    store=$(address_of "$(container store)"):9200
}

pod_stop() {
    compose stop --timeout 30 log-sidecar proxy-sidecar adapter-sidecar tomcat
}

pod_down() {
    compose down --volumes --timeout 0
}
