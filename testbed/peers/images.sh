# shellcheck shell=bash
# Paths out of images whose layers umoci made of a tree that changes, and what umoci makes of the layers again.

check_images() {
    subject=images
    local image seed round rootfs tag registry
    out=$work/images-out
    image=$work/image
    mkdir -p "$out"
    start_registry images
    registry=127.0.0.1:${server_port[images]}
    quietly umoci init --layout "$image"
    for seed in $(seq 1 12); do
        tag=$image:s$seed
        quietly umoci new --image "$tag"
        for round in 1 2 3 4; do
            rm -rf "$work/bundle"
            quietly umoci unpack --image "$tag" "$work/bundle"
            rootfs=$work/bundle/rootfs
            mkdir -p "$rootfs/app"
            quietly python3 "$here/change.py" "$rootfs" "$((seed * 100 + round))"
            quietly python3 "$here/change.py" "$rootfs/app" "$((seed * 1000 + round))"
            quietly umoci repack --image "$tag" "$work/bundle"
        done
        rm -rf "$work/bundle"
        quietly umoci unpack --image "$tag" "$work/bundle"
        quietly skopeo copy --insecure-policy --dest-tls-verify=false "oci:$tag" "docker://$registry/demo/image:s$seed"
        expect "image $seed, all of it" images of_image / "s$seed" "$out/all-$seed/"
        expect "is what umoci makes of its layers ($seed)" - same_tree "$rootfs" "$out/all-$seed"
        expect "image $seed, one directory" images of_image /app "s$seed" "$out/one-$seed/"
        expect "is that ($seed)" - same_tree "$rootfs/app" "$out/one-$seed/app"
        expect "image $seed, again" images nothing_to_do of_image /app "s$seed" "$out/one-$seed/"
        expect "no part of it is left ($seed)" - no_parts "$out"
    done
    expect "an image without --path: exit 10, and what to do" images \
        fails_with 10 --path init_copy --plain-http "oci://$registry/demo/image:s1" "$out/none/"
    stop_server images
}

# of_image PATH TAG DEST
of_image() {
    init_copy --plain-http --path "$1" --links keep --preserve mode "oci://$registry/demo/image:$2" "$3"
}
