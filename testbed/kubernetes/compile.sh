#!/usr/bin/env bash
# Compiles Kubernetes: compile.sh DIR puts `node`, its `kubectl`, and the image of pods' first container into DIR.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
into=$(realpath "$1")

# Another one as soon as something that goes into it is another.
inputs=$(cat "$0" "$here"/node/go.* "$here"/node/*.go "$here"/node/pause/*.go <(go env GOVERSION) | sha256sum)
if [ -x "$into/node" ] && [ -e "$into/pause.tar" ] && [ "$(cat "$into/inputs" 2>/dev/null)" = "$inputs" ]; then exit; fi

# With a warm cache of Go's this is a link; without, it takes some ten minutes. A build cut short leaves the old binary, and what was
# compiled is in Go's cache for the next one.
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[^ ]*\).*/\1/p' "$here/node/go.mod")
started=$SECONDS
work=$(mktemp -d "$into/part.XXXXXX")
trap end EXIT
end() {
    rm -rf "$work"
    [ -e "$into/inputs" ] && [ "$(cat "$into/inputs")" = "$inputs" ] ||
        echo "compile.sh: Kubernetes $version was not compiled; what is compiled already is not compiled again" >&2
}
compile() {
    (cd "$here/node" && CGO_ENABLED=0 go build -mod=readonly -trimpath -tags providerless \
        -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$work/$1" "$2")
}
compile node .
compile pause ./pause

# The image as `docker save` would write it, so that no engine is needed.
mkdir "$work/image"
tar -C "$work" --owner 0 --group 0 -cf "$work/image/layer.tar" pause
jq --null-input --arg layer "sha256:$(sha256sum <"$work/image/layer.tar" | cut -d ' ' -f 1)" '{
    architecture: "amd64", os: "linux", config: {User: "65535:65535", Entrypoint: ["/pause"]},
    rootfs: {type: "layers", diff_ids: [$layer]}
}' >"$work/image/config.json"
echo '[{"Config": "config.json", "RepoTags": ["localhost/pause:dev"], "Layers": ["layer.tar"]}]' >"$work/image/manifest.json"
tar -C "$work/image" -cf "$work/pause.tar" manifest.json config.json layer.tar

mv "$work/node" "$work/pause.tar" "$into/"
ln -sfn node "$into/kubectl"
echo "$inputs" >"$into/inputs"
echo "Kubernetes $version: $(stat -c %s "$into/node") bytes, $((SECONDS - started)) s"
