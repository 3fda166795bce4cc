#!/usr/bin/env bash
# Installs what run.sh needs and is not there yet: install.sh DIR puts `oras`, `s3s-fs` and the jars of OpenSearch into DIR, the rest is Debian's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=$1

packages=(
    docker-registry skopeo umoci nginx-light apache2-utils openssl
    tar zip unzip zstd xz-utils bzip2 libarchive-tools rsync attr e2fsprogs
    rsyslog rsyslog-gnutls
    postgresql
    python3-grpcio nghttp2-client nghttp2-server
    maven openjdk-17-jdk-headless
    ca-certificates curl jq python3 python3-jsonschema python3-yaml util-linux
)
"$here/../shell/install-packages.sh" "${packages[@]}"

# Debian has no oras. go.sum pins it, and all that it is made of; another version is another file.
version=$(sed -n 's/^\toras.land\/oras \(v[^ ]*\).*/\1/p' "$here/oras/go.mod")
if [ ! -x "$into/oras-$version" ]; then
    if ! command -v go >/dev/null; then
        echo "install.sh: oras is compiled with Go ($(grep '^go ' "$here/oras/go.mod") or later), and there is no 'go'" >&2
        exit 1
    fi
    (cd "$here/oras" && go build -mod=readonly -trimpath -o "$into/oras-$version" oras.land/oras/cmd/oras)
fi
ln -sfn "oras-$version" "$into/oras"

# Nor a store of objects. Its crate holds the lock file that pins what it is made of.
version=0.12.0
if [ ! -x "$into/s3s-fs-$version/bin/s3s-fs" ]; then
    cargo install --quiet --locked --features binary --version "$version" --root "$into/s3s-fs-$version" \
        --target-dir "$into/s3s-fs-$version/target" s3s-fs
    rm -r "$into/s3s-fs-$version/target"
fi
ln -sfn "s3s-fs-$version/bin/s3s-fs" "$into/s3s-fs"

# Nor OpenSearch: its jars, of the versions that the pom names.
if [ ! "$into/opensearch" -nt "$here/opensearch/pom.xml" ]; then
    rm -rf "$into/opensearch"
    mvn --batch-mode --quiet --file "$here/opensearch/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$(realpath "$into")/opensearch"
fi
