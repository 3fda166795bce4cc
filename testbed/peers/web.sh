# shellcheck shell=bash
# Downloads from nginx: the access log tells what was really asked for.

check_web() {
    subject=web
    www=$work/www
    out=$work/web-out
    mkdir -p "$www" "$out"
    start_nginx
    web=http://127.0.0.1:${server_port[nginx]}
    web_tls=https://127.0.0.1:${server_port[nginx-tls]}
    head -c 3000000 /dev/urandom >"$www/file.bin"
    seq 1 200000 >"$www/text.txt"
    downloads
    checksum_files
    nothing_twice
    an_interrupted_download
    who_may_read
    over_tls
    redirects
    gzip_on_the_way
    a_server_in_trouble
    waiting_for_it
    check_archives
    stop_server nginx
}

downloads() {
    local sum
    sum=$(sha256sum <"$www/file.bin" | cut -c 1-64)
    expect "a plain download" nginx init_copy "$web/file.bin" "$out/plain/"
    expect "has its bytes" - cmp "$www/file.bin" "$out/plain/file.bin"
    expect "under another name" nginx init_copy "$web/file.bin?version=1" "$out/other/app.bin"
    expect "has its bytes, too" - cmp "$www/file.bin" "$out/other/app.bin"
    expect "with --sha256" nginx init_copy --sha256 "$sum" "$web/file.bin" "$out/sha256/"
    expect "with --checksum of SHA-512" nginx \
        init_copy --checksum "sha512:$(sha512sum <"$www/file.bin" | cut -c 1-128)" "$web/file.bin" "$out/sha512/"
    expect "with an integrity as browsers have it" nginx \
        init_copy --checksum "sha384-$(openssl dgst -sha384 -binary "$www/file.bin" | base64 --wrap 0)" "$web/file.bin" "$out/sri/"
    expect "the wrong digest exits 11" nginx exits 11 init_copy --sha256 "${sum//[0-9]/0}" "$web/file.bin" "$out/wrong/"
    expect "and leaves nothing" - holds_only "$out" other plain sha256 sha512 sri
    expect "what is not there exits 10" nginx exits 10 init_copy "$web/none.bin" "$out/none/"
    expect "more than --max-bytes exits 14" nginx exits 14 init_copy --max-bytes 2MB "$web/file.bin" "$out/none/"
    expect "a server that nobody runs exits 12" - exits 12 init_copy --tries 2 "http://127.0.0.1:$(free_port)/file.bin" "$out/none/"
    expect "several URLs at once" nginx init_copy "$web/file.bin" "$web/text.txt" "$out/two/"
    expect "are all there" - cmp "$www/text.txt" "$out/two/text.txt"
}

checksum_files() {
    (cd "$www" && sha256sum file.bin text.txt >SHA256SUMS && sha256sum --tag file.bin text.txt >SHA256SUMS.tag &&
        sha512sum --binary file.bin >file.bin.sha512 && sha256sum file.bin | cut -c 1-64 >file.bin.sha256 &&
        sed 's/^./x/' SHA256SUMS >SHA256SUMS.broken && sha256sum text.txt | sed 's/text.txt/file.bin/' >SHA256SUMS.wrong)
    local name
    for name in SHA256SUMS SHA256SUMS.tag file.bin.sha512 file.bin.sha256; do
        expect "the checksum file $name" nginx init_copy --checksum "$web/$name" "$web/file.bin" "$out/by-$name/"
        expect "a second run with $name has nothing to do" nginx nothing_to_do \
            init_copy --checksum "$web/$name" "$web/file.bin" "$out/by-$name/"
        expect "has checked the right bytes ($name)" - cmp "$www/file.bin" "$out/by-$name/file.bin"
    done
    expect "a checksum file from a path" nginx init_copy --checksum "$www/SHA256SUMS" "$web/text.txt" "$out/by-path/"
    for name in SHA256SUMS.broken SHA256SUMS.wrong; do
        expect "$name exits 11" nginx exits 11 init_copy --checksum "$web/$name" "$web/file.bin" "$out/none/"
    done
    expect "a checksum file that is not there exits 10" nginx exits 10 init_copy --checksum "$web/none" "$web/file.bin" "$out/none/"
}

nothing_twice() {
    cp "$www/file.bin" "$www/tagged.bin"
    local run=(init_copy "$web/tagged.bin" "$out/tagged/")
    expect "a file with an entity tag" nginx "${run[@]}"
    expect "is asked for by it: nothing to do" nginx nothing_to_do "${run[@]}"
    expect "nginx has answered 304" - eventually 5 logged '^GET /tagged.bin 304 0 '
    head -c 1000 /dev/urandom >"$www/tagged.bin"
    expect "when it has changed" nginx "${run[@]}"
    expect "the new one is there" - cmp "$www/tagged.bin" "$out/tagged/tagged.bin"
    printf x >>"$out/tagged/tagged.bin"
    expect "what was altered in place" nginx "${run[@]}"
    expect "is repaired" - cmp "$www/tagged.bin" "$out/tagged/tagged.bin"
    cp "$www/file.bin" "$www/pinned.bin"
    local sum
    sum=$(sha256sum <"$www/pinned.bin" | cut -c 1-64)
    run=(init_copy --sha256 "$sum" "$web/pinned.bin" "$out/pinned/")
    expect "a file with a known digest" nginx "${run[@]}"
    rm "$www/pinned.bin"
    expect "is not asked for twice" nginx nothing_to_do "${run[@]}"
    run=(init_copy "$web/no-etag/text.txt" "$out/no-etag/")
    expect "a file without an entity tag" nginx "${run[@]}"
    expect "may be fetched twice" nginx "${run[@]}"
    expect "and is whole" - cmp "$www/text.txt" "$out/no-etag/text.txt"
}

an_interrupted_download() {
    local pid
    head -c 6000000 /dev/urandom >"$www/large.bin"
    "$binary" "$web/slow/large.bin" "$out/resumed/" >"$work/killed.log" 2>&1 &
    pid=$!
    expect "1 MB of a slow download" nginx eventually 20 has_fetched 1000000
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    expect "is not visible when it is killed" - test ! -e "$out/resumed/large.bin"
    expect "the next run goes on" nginx tells "going on" init_copy "$web/slow/large.bin" "$out/resumed/"
    expect "nginx has sent a part: 206" - eventually 5 logged '^GET /slow/large.bin 206 [1-9][0-9]* "bytes=[1-9][0-9]+-"'
    expect "the bytes are right" - cmp "$www/large.bin" "$out/resumed/large.bin"
    expect "no part is left" - no_parts "$out"

    "$binary" "$web/slow/large.bin" "$out/changed/" >"$work/killed.log" 2>&1 &
    pid=$!
    eventually 20 has_fetched 1000000 >/dev/null || true
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    head -c 6000000 /dev/urandom >"$www/large.bin"
    touch --date '1 minute' "$www/large.bin"
    expect "a file that changes between two runs" nginx init_copy "$web/large.bin" "$out/changed-2/"
    sed -i 's/limit_rate 2m;/limit_rate 0;/' "$work/nginx/nginx.conf"
    kill -HUP "${server_pid[nginx]}"
    expect "or between two parts of it" nginx init_copy "$web/slow/large.bin" "$out/changed/"
    expect "is not mixed of both" - cmp "$www/large.bin" "$out/changed/large.bin"
}

# has_fetched BYTES: of any download that goes on.
has_fetched() {
    find "$out" -name '.init-copy-part-*' -size "+$(($1 - 1))c" | grep .
}

no_parts() {
    [ -z "$(find "$1" -name '.init-copy-*' | tee /dev/stderr)" ]
}

who_may_read() {
    echo "$password" >"$work/password"
    echo "machine 127.0.0.1 login alice password $password" >"$work/netrc"
    local url=$web/private/file.bin
    expect "without credentials: exit 13" nginx exits 13 init_copy "$url" "$out/none/"
    expect "with a wrong password: exit 13" nginx \
        exits 13 env SECRET=wrong "$binary" --username alice --password env:SECRET "$url" "$out/none/"
    expect "with a password from a variable" nginx \
        env "SECRET=$password" "$binary" --username alice --password env:SECRET "$url" "$out/private-1/"
    expect "with a password from a file" nginx \
        init_copy --username alice --password "file:$work/password" "$url" "$out/private-2/"
    expect "with a netrc" nginx init_copy --netrc "$work/netrc" "$url" "$out/private-3/"
    local n
    for n in 1 2 3; do
        expect "the bytes are right ($n)" - cmp "$www/file.bin" "$out/private-$n/file.bin"
    done
    expect "a checksum file behind the same login" nginx init_copy --username alice --password "file:$work/password" \
        --checksum "$web/private/SHA256SUMS" "$url" "$out/private-4/"
    expect "credentials do not follow a redirect to another host: exit 13" nginx \
        exits 13 init_copy --username alice --password "file:$work/password" "$web/moved-to-login/file.bin" "$out/none/"
}

over_tls() {
    expect "TLS by an own CA, without --ca: exit 12 and what to do" nginx \
        fails_with 12 --ca init_copy "$web_tls/file.bin" "$out/none/"
    expect "with --ca" nginx init_copy --ca "$work/tls/ca.pem" "$web_tls/file.bin" "$out/tls/"
    expect "the bytes are right over TLS" - cmp "$www/file.bin" "$out/tls/file.bin"
    expect "by a name in the certificate" nginx \
        init_copy --ca "$work/tls/ca.pem" "https://localhost:${server_port[nginx-tls]}/file.bin" "$out/tls-name/"
    expect "from https to http is no way: exit 12" nginx \
        exits 12 init_copy --ca "$work/tls/ca.pem" "$web_tls/down/file.bin" "$out/none/"
    expect "TLS to a port without it: exit 12" nginx \
        exits 12 init_copy --tries 1 "https://127.0.0.1:${server_port[nginx]}/file.bin" "$out/none/"
}

redirects() {
    expect "a redirect" nginx init_copy "$web/moved/file.bin" "$out/moved/"
    expect "leads to the bytes" - cmp "$www/file.bin" "$out/moved/file.bin"
    expect "a second run has nothing to do behind it" nginx nothing_to_do init_copy "$web/moved/file.bin" "$out/moved/"
    expect "redirects in a circle exit 12" nginx exits 12 init_copy "$web/round/trip" "$out/none/"
}

gzip_on_the_way() {
    quietly tells 'Content-Encoding: gzip' \
        curl --silent --include --header 'accept-encoding: gzip' --output /dev/null --dump-header - "$web/gzip/text.txt"
    expect "a server that compresses for others" nginx init_copy "$web/gzip/text.txt" "$out/gzip/"
    expect "sends us the bytes as they are" - cmp "$www/text.txt" "$out/gzip/text.txt"
}

a_server_in_trouble() {
    local up
    # Two requests use up what nginx grants for 2 s: the next answers are 429.
    curl --silent --output /dev/null "$web/few/text.txt" "$web/few/text.txt" || true
    expect "429 is tried again" nginx init_copy "$web/few/text.txt" "$out/few/"
    expect "nginx has answered 429" - eventually 5 logged '^GET /few/text.txt 429 '
    expect "the bytes are right after it" - cmp "$www/text.txt" "$out/few/text.txt"
    touch "$work/down"
    (
        eventually 20 logged '^GET /flaky/text.txt 503 ' >/dev/null
        rm "$work/down"
    ) &
    up=$!
    expect "503 is tried again" nginx init_copy "$web/flaky/text.txt" "$out/flaky/"
    wait "$up"
    expect "the bytes are right when it is up" - cmp "$www/text.txt" "$out/flaky/text.txt"
    expect "503 for ever exits 12" nginx exits 12 init_copy --tries 3 "$web/broken/text.txt" "$out/none/"
    expect "503 past the deadline exits 17" nginx exits 17 init_copy --deadline 1s "$web/broken/text.txt" "$out/none/"
}

waiting_for_it() {
    local up
    expect "wait for what is up" nginx init_copy wait "tcp://127.0.0.1:${server_port[nginx]}" "$web/file.bin" dns://localhost "file:$www/file.bin"
    expect "wait for a body" nginx init_copy wait "$web/SHA256SUMS#status=200&body=file.bin"
    expect "wait for a status that does not come: exit 17" nginx exits 17 init_copy wait --deadline 1s "$web/broken/#status=200"
    touch "$work/down"
    (
        sleep 1
        rm "$work/down"
    ) &
    up=$!
    expect "a copy waits for its server" nginx \
        init_copy --wait-for "$web/flaky/file.bin" --deadline 20s "$web/flaky/file.bin" "$out/waited/"
    wait "$up"
    expect "the bytes are right after the wait" - cmp "$www/file.bin" "$out/waited/file.bin"
}
