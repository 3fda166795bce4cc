# shellcheck shell=bash
# The images of the examples and of what they meet, built by podman, in one archive for the cluster.

build_archive() {
    compile
    podman_started=yes
    start_podman
    build_images podman
    quietly "$here/servers.sh" "$cache" podman
    quietly "$here/postgresql.sh" "$cache" podman
    quietly "$here/grpc.sh" "$cache" podman
    quietly podman save --multi-image-archive --output "$work/images.tar" \
        localhost/{init-copy,log-sidecar,proxy-sidecar,adapter-sidecar,sample-war,tomcat,nginx,registry,debian,postgresql,grpc,peers}:dev
    stop_podman
    podman_started=
}
