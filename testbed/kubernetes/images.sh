# shellcheck shell=bash
# The images of the examples and of what they meet, built by podman and put into the cluster.

load_images() {
    local image archive=$work/images.tar
    compile
    podman_started=yes
    start_podman
    build_images podman
    quietly "$here/servers.sh" "$cache" podman
    podman save --multi-image-archive --output "$archive" \
        localhost/{init-copy,log-sidecar,proxy-sidecar,adapter-sidecar,sample-war,tomcat,nginx,registry,debian,peers}:dev 2>/dev/null
    stop_podman
    podman_started=
    expect "the images are loaded" - "$kubernetes/load" "$archive"
    rm "$archive"
}
