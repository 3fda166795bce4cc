# shellcheck shell=bash
# Certificates for two days, as NAME.pem and NAME.key in the folder one is in.

# authority NAME: a CA.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=$1" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout "$1.key" -out "$1.pem"
}

# issue NAME CA CONSTRAINT NAMES [OPTION...]
issue() {
    local name=$1 ca=$2 constraint=$3 names=$4
    shift 4
    [ $# -gt 0 ] || set -- -days 2
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
    openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial "$@" -out "$name.pem" \
        -extfile <(echo "basicConstraints=$constraint"; [ -z "$names" ] || echo "subjectAltName=$names")
}
