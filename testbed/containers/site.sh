# shellcheck shell=bash
# The site that the examples of init-copy fetch, as an archive and as an artifact.

# What `files` serves, and what is pushed to `registry`.
make_site() {
    local dir=$work/files
    mkdir -p "$dir/site/css"
    echo '<p>first</p>' >"$dir/site/index.html"
    seq 1 5000 >"$dir/site/css/style.css"
    pack_site
    "$root/testbed/peers/install.sh" "$target/peers"
    oras=$target/peers/oras
}

pack_site() {
    (cd "$work/files" && tar -czf site.tar.gz site && sha256sum site.tar.gz >SHA256SUMS)
}

# push REFERENCE PATH...
push() {
    (cd "$work/files/site" && HOME=$work "$oras" push --plain-http --no-tty "$@")
}
