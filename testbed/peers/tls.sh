# shellcheck shell=bash
# TLS by OpenSSL's own server, right and wrong in one way each: the message has to say which.

check_tls() {
    subject=tls
    local dir=$work/tls-cases
    mkdir -p "$dir"
    cd "$dir"
    echo content >content
    # What s_server -HTTP serves is the whole response.
    printf 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ncontent\n' >file.bin
    quietly authority root
    quietly authority other
    quietly issue intermediate root CA:TRUE ''
    quietly issue good root CA:FALSE IP:127.0.0.1
    quietly issue name root CA:FALSE DNS:repository.example
    quietly issue expired root CA:FALSE IP:127.0.0.1 -days -1
    quietly issue below intermediate CA:FALSE IP:127.0.0.1
    quietly issue client other CA:FALSE ''
    quietly own_ca
    cat below.pem intermediate.pem >chain.pem

    secure good.pem good.key
    expect "a good one" - fetched --ca root.pem
    expect "of an unknown CA" - refused 'does not lead to a CA' --ca other.pem
    expect "with no CA given" - refused '--ca'
    secure name.pem name.key
    expect "for another name" - refused 'repository.example' --ca root.pem
    secure expired.pem expired.key
    expect "that has expired" - refused 'has expired' --ca root.pem
    secure below.pem below.key
    expect "without its intermediate" - refused 'intermediate certificates' --ca root.pem
    secure below.pem below.key -cert_chain intermediate.pem
    expect "with its intermediate" - fetched --ca root.pem
    secure good.pem good.key -CAfile other.pem -Verify 1 -verify_return_error
    expect "that asks for a certificate, without one" - refused 'client certificate' --ca root.pem
    expect "that asks for a certificate" - fetched --ca root.pem --client-certificate client.pem --client-key client.key
    expect "and gets one of another CA" - refused 'client certificate' --ca root.pem --client-certificate good.pem --client-key good.key
    secure good.pem good.key -tls1 -cipher DEFAULT@SECLEVEL=0
    expect "of TLS 1.0 only" - refused 'TLS 1.2' --ca root.pem
    secure good.pem good.key -tls1_2
    expect "of TLS 1.2 only" - fetched --ca root.pem
    secure own.pem own.key
    expect "that shows its own CA" - fetched --ca own.pem
    expect "that shows its own CA, unknown" - refused '--ca' --ca root.pem
    stop_secure
    cd "$OLDPWD"
}

# What small servers have: self-signed, and marked as a CA.
own_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=own" \
        -addext basicConstraints=critical,CA:TRUE -addext subjectAltName=IP:127.0.0.1 -keyout own.key -out own.pem
}

# secure CERTIFICATE KEY [OPTION...]: in the place of the one before.
secure() {
    stop_secure
    secure_port=$(free_port)
    openssl s_server -HTTP -accept "127.0.0.1:$secure_port" -cert "$1" -key "$2" "${@:3}" >server.log 2>&1 &
    secure_pid=$!
    quietly eventually 10 accepts "$secure_port"
}

stop_secure() {
    if [ -n "${secure_pid:-}" ]; then
        kill "$secure_pid" 2>/dev/null || true
        wait "$secure_pid" 2>/dev/null || true
        secure_pid=
    fi
}

accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

fetched() {
    rm -rf got
    init_copy --sha256 "$(sha256sum <content | cut -d' ' -f1)" --tries 2 "$@" "https://127.0.0.1:$secure_port/file.bin" got/
    cmp content got/file.bin
}

refused() {
    local text=$1
    shift
    fails_with 12 "$text" init_copy --tries 1 "$@" "https://127.0.0.1:$secure_port/file.bin" none/
}
