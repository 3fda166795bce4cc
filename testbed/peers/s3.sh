# shellcheck shell=bash
# Objects from a store that is not ours (s3s-fs), which checks each signature by itself.

check_s3() {
    subject=s3
    local secret sum store name
    secret=$(openssl rand -hex 20)
    out=$work/s3-out
    mkdir -p "$work/buckets/models/dir" "$out"
    head -c 3000000 /dev/urandom >"$work/buckets/models/file.bin"
    tar -C "$here" -czf "$work/buckets/models/tree.tar.gz" .
    sum=$(sha256sum <"$work/buckets/models/file.bin" | cut -c 1-64)
    server_port[s3]=$(free_port)
    launch s3 s3s-fs --host 127.0.0.1 --port "${server_port[s3]}" --access-key AKIDEXAMPLE --secret-key "$secret" "$work/buckets"
    store=http://127.0.0.1:${server_port[s3]}
    quietly eventually 20 curl --silent --output /dev/null "$store"

    expect "an object" s3 from_bucket "$secret" s3://models/file.bin "$out/plain/"
    expect "has its bytes" - cmp "$work/buckets/models/file.bin" "$out/plain/file.bin"
    expect "a second run has nothing to do" s3 nothing_to_do from_bucket "$secret" s3://models/file.bin "$out/plain/"
    expect "with --sha256" s3 from_bucket "$secret" --sha256 "$sum" s3://models/file.bin "$out/digest/"
    expect "an archive, unpacked" s3 from_bucket "$secret" --unpack=tar.gz s3://models/tree.tar.gz "$out/tree/"
    expect "has the files" - diff --recursive --exclude .init-copy.receipt "$here" "$out/tree"
    for name in 'with space' 'plus+and&more=1' 'perc%25ent' 'ünïcode' 'tilde~(brackets)' "quote's" 'a:b@c,d;e' '#hash?mark'; do
        cp "$work/buckets/models/file.bin" "$work/buckets/models/dir/$name"
        expect "the key dir/$name" s3 from_bucket "$secret" "s3://models/dir/$name" "$out/keys/"
        expect "has its bytes (dir/$name)" - cmp "$work/buckets/models/file.bin" "$out/keys/$name"
    done
    expect "with a wrong key: exit 13, and why" s3 fails_with 13 SignatureDoesNotMatch from_bucket "x$secret" s3://models/file.bin "$out/none/"
    expect "without keys: exit 13, and what to do" s3 fails_with 13 AWS_ACCESS_KEY_ID init_copy --s3-endpoint "$store" s3://models/file.bin "$out/none/"
    expect "no such object: exit 10" s3 fails_with 10 NoSuchKey from_bucket "$secret" s3://models/none.bin "$out/none/"
    interrupted_object
    stop_server s3
}

# from_bucket SECRET ARGUMENTS...
from_bucket() {
    local secret=$1
    shift
    env AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY="$secret" "$binary" --s3-endpoint "$store" "$@"
}

# The second request asks for a range, and is signed too.
interrupted_object() {
    local pid
    head -c 200000000 /dev/zero >"$work/buckets/models/large.bin"
    from_bucket "$secret" s3://models/large.bin "$out/resumed/" >"$work/killed.log" 2>&1 &
    pid=$!
    quietly eventually 20 has_fetched 1000000
    pkill -KILL -P "$pid" || kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    expect "an object is not visible when the download is killed" - test ! -e "$out/resumed/large.bin"
    expect "the next run goes on with it" s3 tells "going on" from_bucket "$secret" s3://models/large.bin "$out/resumed/"
    expect "its bytes are right" - cmp "$work/buckets/models/large.bin" "$out/resumed/large.bin"
}
