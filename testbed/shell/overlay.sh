# shellcheck shell=bash

# overlay_works DIR: an overlay can be mounted on this file system. Not on top of an overlay, such as in a container.
overlay_works() {
    mkdir -p "$1"/{lower,upper,work,merged}
    mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged" 2>/dev/null && umount "$1/merged"
}
