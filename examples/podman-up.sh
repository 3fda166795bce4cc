#!/usr/bin/env bash
# Starts a pod.yaml of these examples under podman 4.3, which differs from a Kubernetes in two points:
#
# - it starts init containers again and again in a pod that is always restarted, so the pod gets `restartPolicy: OnFailure`, with which a
#   kubelet would leave the site down when the pod has to be made anew;
# - it leaves an emptyDir to root, and knows no fsGroup, so the group 65532 is given the volumes here.
#
#   examples/podman-up.sh [--create] FILE [OPTION...]
#
# --create leaves the start to `podman pod start NAME`; the options are those of `podman kube play`, such as --network NETWORK.
set -euo pipefail
start=yes
if [ "${1:-}" = --create ]; then
    start=
    shift
fi
if [ $# -eq 0 ]; then
    echo "usage: podman-up.sh [--create] FILE [OPTION...]" >&2
    exit 2
fi
file=$(realpath "$1")
shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed 's/^spec:$/spec:\n  restartPolicy: OnFailure/' "$file" >"$work/pod.yaml"
pod=$(sed -n '/^kind: Pod$/,$ s/^  name: //p' "$file" | head -n 1)

# From an empty folder: podman takes one that is named like an image for its build context.
mkdir "$work/empty"
(cd "$work/empty" && podman kube play --start=false "$@" "$work/pod.yaml")
for volume in $(sed -n 's/.*{name: \([a-z]*\), emptyDir: {}}.*/\1/p' "$file"); do
    path=$(podman volume inspect --format '{{.Mountpoint}}' "$volume")
    chgrp 65532 "$path"
    chmod 2777 "$path"
done
[ -z "$start" ] || podman pod start "$pod"
