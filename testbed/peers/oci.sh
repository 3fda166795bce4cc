# shellcheck shell=bash
# Artifacts that oras and skopeo push into docker-registry.

check_oci() {
    subject=oci
    start_registry plain
    plain=127.0.0.1:${server_port[plain]}
    start_registry auth
    auth=127.0.0.1:${server_port[auth]}
    start_registry tls-auth
    secure=127.0.0.1:${server_port[tls-auth]}
    src=$work/oci-src
    out=$work/oci-out
    mkdir -p "$src" "$out"
    make_tree "$src/tree"
    files_of_oras
    a_tag_that_moves
    a_pinned_digest
    logins
    encryption
    copies_by_skopeo
    platforms
    signatures
    damage
    local name
    for name in plain auth tls-auth; do stop_server "$name"; done
}

# push REGISTRY/NAME:TAG FILE...: by oras, from the folder of sources.
push() {
    (cd "$src" && oras push --plain-http --no-tty "$@")
}

digest_of() {
    oras manifest fetch --plain-http --descriptor "$1" | jq --raw-output .digest
}

files_of_oras() {
    head -c 5000000 /dev/urandom >"$src/model.bin"
    mkdir -p "$src/sub"
    echo one >"$src/a.txt"
    echo two >"$src/sub/b.txt"
    quietly push "$plain/demo/one:v1" model.bin:application/octet-stream
    quietly push "$plain/demo/several:v1" a.txt sub/b.txt model.bin
    quietly push "$plain/demo/tree:v1" tree
    quietly push "$plain/demo/mixed:v1" tree a.txt:text/plain
    quietly push --image-spec v1.0 --config /dev/null:application/vnd.demo.config "$plain/demo/old:v1" a.txt

    local one=(init_copy --plain-http "oci://$plain/demo/one:v1" "$out/one/")
    expect "one file" plain "${one[@]}"
    expect "has its bytes" - cmp "$src/model.bin" "$out/one/model.bin"
    expect "a second run has nothing to do" plain nothing_to_do "${one[@]}"
    expect "plan says what an artifact would bring" plain tells "model.bin" init_copy plan --plain-http "oci://$plain/demo/one:v1" "$out/plan/"
    expect "and brings nothing" - test ! -e "$out/plan"
    expect "several files" plain init_copy --plain-http "oci://$plain/demo/several:v1" "$out/several/"
    expect "are those that oras pulls" - as_oras_pulls "$plain/demo/several:v1" "$out/several"
    local tree=(init_copy --plain-http "oci://$plain/demo/tree:v1" "$out/tree/")
    expect "a directory" plain "${tree[@]}"
    expect "has its files, links, empty folders and modes" - same_tree "$src/tree" "$out/tree/tree"
    expect "and is what oras pulls" - as_oras_pulls "$plain/demo/tree:v1" "$out/tree"
    expect "a second run has nothing to do for a directory" plain nothing_to_do "${tree[@]}"
    expect "a directory and a file" plain init_copy --plain-http "oci://$plain/demo/mixed:v1" "$out/mixed/"
    expect "are both there" - as_oras_pulls "$plain/demo/mixed:v1" "$out/mixed"
    expect "an artifact of image-spec 1.0" plain init_copy --plain-http "oci://$plain/demo/old:v1" "$out/old/"
    expect "has its bytes, too" - cmp "$src/a.txt" "$out/old/a.txt"
    expect "an unknown tag exits 10" plain exits 10 init_copy --plain-http "oci://$plain/demo/one:v9" "$out/none/"
    (cd "$src/tree" && quietly oras push --plain-http --no-tty "$plain/demo/dot:v1" .)
    expect "a directory that was pushed as ." plain init_copy --plain-http "oci://$plain/demo/dot:v1" "$out/dot/"
    expect "has its contents right there" - same_tree "$src/tree" "$out/dot"
    (cd "$src" && tar -czf packed.tar.gz tree)
    quietly push "$plain/demo/packed:v1" packed.tar.gz
    expect "an archive in an artifact, with --unpack" plain init_copy --plain-http --unpack --strip-components 1 "oci://$plain/demo/packed:v1" "$out/packed/"
    expect "is its tree" - same_tree "$src/tree" "$out/packed"
}

# as_oras_pulls REFERENCE DIR
as_oras_pulls() {
    local pulled
    pulled=$(mktemp -d -p "$work")
    oras pull --plain-http --no-tty --output "$pulled" "$1" >/dev/null
    same_tree "$pulled" "$2"
}

a_tag_that_moves() {
    local run=(init_copy --plain-http --prune "oci://$plain/demo/moving:latest" "$out/moving/")
    quietly push "$plain/demo/moving:latest" a.txt sub/b.txt
    expect "a tag" plain "${run[@]}"
    echo three >"$src/c.txt"
    echo 'one, again' >"$src/a.txt"
    quietly push "$plain/demo/moving:latest" a.txt c.txt
    expect "that has moved is pulled anew" plain "${run[@]}"
    expect "its new content is there" - cmp "$src/a.txt" "$out/moving/a.txt"
    expect "its new file, too" - cmp "$src/c.txt" "$out/moving/c.txt"
    expect "--prune removes what it lost" - test ! -e "$out/moving/sub/b.txt"
    expect "and then there is nothing to do" plain nothing_to_do "${run[@]}"
}

a_pinned_digest() {
    local digest reference
    digest=$(digest_of "$plain/demo/several:v1")
    reference=oci://$plain/demo/several:v1@$digest
    expect "a digest" plain init_copy --plain-http "$reference" "$out/pinned/"
    expect "has the bytes" - cmp "$src/model.bin" "$out/pinned/model.bin"
    stop_server plain
    expect "needs no registry for a second run" - nothing_to_do init_copy --plain-http --tries 1 "$reference" "$out/pinned/"
    expect "a tag does: exit 12" - exits 12 init_copy --plain-http --tries 1 "oci://$plain/demo/several:v1" "$out/several/"
    expect "and nothing was taken away" - cmp "$src/model.bin" "$out/several/model.bin"
    start_registry plain
    expect "a digest that the registry does not have exits 10" plain \
        exits 10 init_copy --plain-http "oci://$plain/demo/one@sha256:$(printf '0%.0s' {1..64})" "$out/none/"
}

logins() {
    local reference=oci://$auth/demo/private:v1 dir=$work/secret
    quietly push --username alice --password "$password" "$auth/demo/private:v1" model.bin
    echo "$password" >"$work/password"
    echo wrong >"$work/wrong-password"
    expect "without credentials: exit 13" auth exits 13 init_copy --plain-http "$reference" "$out/private-0/"
    expect "with the wrong password: exit 13" auth \
        exits 13 init_copy --plain-http --username alice --password "file:$work/wrong-password" "$reference" "$out/private-0/"
    expect "which leaves nothing" - test ! -e "$out/private-0/model.bin"
    expect "with user and password" auth \
        init_copy --plain-http --username alice --password "file:$work/password" "$reference" "$out/private-1/"
    expect "the bytes are right" - cmp "$src/model.bin" "$out/private-1/model.bin"

    quietly oras login --plain-http --registry-config "$work/oras.json" --username alice --password "$password" "$auth"
    expect "with what oras login wrote" auth \
        init_copy --plain-http --registry-config "$work/oras.json" "$reference" "$out/private-2/"
    quietly skopeo login --tls-verify=false --authfile "$work/skopeo.json" --username alice --password "$password" "$auth"
    expect "with what skopeo login wrote" auth \
        init_copy --plain-http --registry-config "$work/skopeo.json" "$reference" "$out/private-3/"
    expect "by REGISTRY_AUTH_FILE" auth \
        env "REGISTRY_AUTH_FILE=$work/skopeo.json" "$binary" --plain-http "$reference" "$out/private-4/"
    # As the kubelet mounts a Secret: the key is a link, over a link to a folder.
    mkdir -p "$dir/..data-1"
    cp "$work/oras.json" "$dir/..data-1/.dockerconfigjson"
    ln -s ..data-1 "$dir/..data"
    ln -s ..data/.dockerconfigjson "$dir/.dockerconfigjson"
    expect "with a mounted Secret" auth init_copy --plain-http --registry-config "$dir" "$reference" "$out/private-5/"
    local n
    for n in 2 3 4 5; do
        expect "the bytes are right ($n)" - cmp "$src/model.bin" "$out/private-$n/model.bin"
    done
    quietly oras login --plain-http --registry-config "$work/other.json" --username alice --password "$password" "$auth"
    jq '.auths = {"registry.example": .auths[]}' "$work/other.json" >"$work/elsewhere.json"
    expect "another registry's login is not sent: exit 13" auth \
        exits 13 init_copy --plain-http --registry-config "$work/elsewhere.json" "$reference" "$out/private-6/"
}

encryption() {
    local reference=oci://$secure/demo/secret:v1
    (cd "$src" && quietly oras push --no-tty --ca-file "$work/tls/ca.pem" --username alice --password "$password" \
        "$secure/demo/secret:v1" model.bin)
    local run=(init_copy --registry-config "$work/secure.json")
    quietly oras login --ca-file "$work/tls/ca.pem" --registry-config "$work/secure.json" --username alice --password "$password" "$secure"
    expect "TLS by an own CA, without --ca: exit 12 and what to do" tls-auth \
        fails_with 12 --ca "${run[@]}" "$reference" "$out/secret/"
    expect "with --ca" tls-auth "${run[@]}" --ca "$work/tls/ca.pem" "$reference" "$out/secret/"
    expect "the bytes are right over TLS" - cmp "$src/model.bin" "$out/secret/model.bin"
    expect "with SSL_CERT_FILE" tls-auth \
        env "SSL_CERT_FILE=$work/tls/ca.pem" "$binary" --registry-config "$work/secure.json" "$reference" "$out/secret-2/"
    expect "TLS to a registry without it: exit 12" plain \
        exits 12 init_copy --tries 1 "oci://$plain/demo/one:v1" "$out/none/"
}

copies_by_skopeo() {
    local from=docker://$plain/demo/several:v1 to=docker://$secure/copied/several:v1
    mkdir -p "$work/certs"
    cp "$work/tls/ca.pem" "$work/certs/ca.crt"
    quietly skopeo copy --insecure-policy --preserve-digests --src-tls-verify=false --dest-cert-dir "$work/certs" \
        --dest-creds "alice:$password" "$from" "$to"
    expect "an artifact that skopeo has copied to another registry" tls-auth \
        init_copy --ca "$work/tls/ca.pem" --registry-config "$work/secure.json" "oci://$secure/copied/several:v1" "$out/copied/"
    expect "is the same" - same_tree "$out/several" "$out/copied"
    # By way of a layout on disk.
    quietly skopeo copy --insecure-policy --src-tls-verify=false "docker://$plain/demo/tree:v1" "oci:$work/layout:v1"
    quietly skopeo copy --insecure-policy --dest-tls-verify=false "oci:$work/layout:v1" "docker://$plain/copied/tree:v1"
    expect "one that skopeo has copied from a layout" plain \
        init_copy --plain-http "oci://$plain/copied/tree:v1" "$out/copied-tree/"
    expect "is the same tree" - same_tree "$src/tree" "$out/copied-tree/tree"
}

# An index of two artifacts, one a platform.
platforms() {
    local architecture index=$work/index.json
    echo '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' >"$index"
    for architecture in amd64 arm64; do
        echo "for $architecture" >"$src/platform.txt"
        quietly push "$plain/demo/platforms:$architecture" platform.txt
        oras manifest fetch --plain-http --descriptor "$plain/demo/platforms:$architecture" |
            jq --arg a "$architecture" --slurpfile index "$index" \
                '. as $d | $index[0] | .manifests += [($d | {mediaType, digest, size, platform: {os: "linux", architecture: $a}})]' \
                >"$index.new"
        mv "$index.new" "$index"
    done
    quietly oras manifest push --plain-http --media-type application/vnd.oci.image.index.v1+json "$plain/demo/platforms:v1" "$index"
    quietly skopeo copy --insecure-policy --multi-arch all --preserve-digests --src-tls-verify=false --dest-tls-verify=false \
        --dest-creds "alice:$password" "docker://$plain/demo/platforms:v1" "docker://$auth/copied/platforms:v1"
    local reference=oci://$auth/copied/platforms:v1 run=(init_copy --plain-http --registry-config "$work/oras.json")
    expect "of an index, what is for this machine" auth "${run[@]}" "$reference" "$out/own/"
    expect "is that" - grep -x "for $(machine)" "$out/own/platform.txt"
    expect "of an index, what is for --platform" auth "${run[@]}" --platform linux/arm64 "$reference" "$out/arm/"
    expect "is that, too" - grep -x "for arm64" "$out/arm/platform.txt"
    expect "nothing for a platform: exit 10, and which there are" auth \
        fails_with 10 linux/arm64 "${run[@]}" --platform linux/s390x "$reference" "$out/none/"
}

machine() {
    case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
    esac
}

# In the form of cosign's SIGNATURE_SPEC.md, by openssl; with each kind of key that cosign takes.
signatures() {
    local digest kind payload=$src/payload.json keys=$work/signing
    mkdir -p "$keys"
    quietly openssl ecparam -name prime256v1 -genkey -noout -out "$keys/other.pem"
    quietly openssl pkey -in "$keys/other.pem" -pubout -out "$keys/other.pub"
    quietly push "$plain/demo/signed:v1" a.txt
    digest=$(digest_of "$plain/demo/signed:v1")
    printf '{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":"%s"},"type":"cosign container image signature"},"optional":null}' \
        "$digest" >"$payload"
    for kind in 'EC -pkeyopt ec_paramgen_curve:P-256' 'EC -pkeyopt ec_paramgen_curve:P-384' 'RSA -pkeyopt rsa_keygen_bits:2048' ED25519; do
        # shellcheck disable=SC2086
        quietly openssl genpkey -out "$keys/key.pem" -algorithm $kind
        quietly openssl pkey -in "$keys/key.pem" -pubout -out "$keys/key.pub"
        case $kind in
        ED25519) quietly openssl pkeyutl -sign -rawin -inkey "$keys/key.pem" -in "$payload" -out "$keys/signature" ;;
        *P-384) quietly openssl dgst -sha384 -sign "$keys/key.pem" -out "$keys/signature" "$payload" ;;
        *) quietly openssl dgst -sha256 -sign "$keys/key.pem" -out "$keys/signature" "$payload" ;;
        esac
        jq --null-input --arg signature "$(base64 --wrap 0 "$keys/signature")" \
            '{"payload.json": {"dev.cosignproject.cosign/signature": $signature}}' >"$keys/annotations.json"
        quietly push --annotation-file "$keys/annotations.json" "$plain/demo/signed:${digest/:/-}.sig" \
            payload.json:application/vnd.dev.cosign.simplesigning.v1+json
        expect "an artifact that is signed (${kind%% *} ${kind##*:})" plain \
            init_copy --plain-http --cosign-key "$keys/key.pub" "oci://$plain/demo/signed:v1" "$out/signed/"
        expect "but not by another key: exit 11" plain \
            fails_with 11 "not by a key" init_copy --plain-http --cosign-key "$keys/other.pub" "oci://$plain/demo/signed:v1" "$out/none/"
    done
    expect "one that nobody signed: exit 11" plain \
        fails_with 11 "no signature" init_copy --plain-http --cosign-key "$keys/key.pub" "oci://$plain/demo/one:v1" "$out/none/"
}

# The registry's disk has rotted: what it serves is not what its name says.
damage() {
    local digest blob
    echo precious >"$src/rotten.txt"
    quietly push "$plain/demo/rotten:v1" rotten.txt
    digest=$(oras manifest fetch --plain-http "$plain/demo/rotten:v1" | jq --raw-output '.layers[0].digest')
    blob=$work/plain/data/docker/registry/v2/blobs/sha256/${digest:7:2}/${digest:7}/data
    printf 'worthless'>"$blob"
    expect "a blob that has rotted in the registry exits 11" plain \
        exits 11 init_copy --plain-http --tries 2 "oci://$plain/demo/rotten:v1" "$out/rotten/"
    expect "and is not there" - test ! -e "$out/rotten/rotten.txt"
}
