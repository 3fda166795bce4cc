# shellcheck shell=bash
# The images of the story beside our four: Tomcat, the WAR's, and the peers outside of the pod.

# Compiled once, for both engines.
compile() {
    if [ -z "${BIN_DIR:-}" ]; then
        "$root/images/build.sh" binaries
        BIN_DIR=$work/bin
        cp -R "$target/images" "$BIN_DIR"
        (cd "$root" && cargo build --locked --release --target x86_64-unknown-linux-musl -p testbed --bin peers)
        cp "$target/x86_64-unknown-linux-musl/release/peers" "$BIN_DIR/"
    fi
    export BIN_DIR
}

build_images() {
    local engine=$1
    quietly "$root/images/build.sh" "$engine"
    expect "the four images are static, small, of one file, and run without rights" - "$root/images/check.sh" "$engine"
    quietly "$here/tomcat.sh" "$cache" "$engine"
    build_one "$engine" sample-war "$root/examples/all-four/Dockerfile" "$(sample_war)"
    build_one "$engine" peers "$here/peers.Dockerfile" "$BIN_DIR/peers"
}

# Those of examples/init-copy.
build_example_images() {
    local engine=$1
    quietly "$root/images/build.sh" "$engine"
    quietly "$here/tomcat.sh" "$cache" "$engine"
    quietly "$here/servers.sh" "$cache" "$engine"
    build_one "$engine" sample-war "$root/examples/all-four/Dockerfile" "$(sample_war)"
}

# build_one ENGINE NAME DOCKERFILE FILE: the context is this one file.
build_one() {
    local engine=$1 name=$2 dockerfile=$3 file=$4 context=$work/context/$1/$2
    mkdir -p "$context"
    cp "$file" "$context/"
    quietly "$engine" build --quiet --tag "localhost/$name:dev" --file "$dockerfile" "$context"
}

# Tomcat's own sample application, as Debian packages it.
sample_war() {
    local war=$work/docs/usr/share/tomcat10-docs/docs/appdev/sample/sample.war
    if [ ! -e "$war" ]; then
        mkdir -p "$work/docs"
        (cd "$work/docs" && apt-get download --quiet=2 -o APT::Sandbox::User=root tomcat10-docs && dpkg-deb --extract tomcat10-docs_*.deb .) >&2
    fi
    echo "$war"
}
