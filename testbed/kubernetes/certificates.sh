# shellcheck shell=bash
# A certificate authority for a month, and a kubeconfig for everybody who talks to the API server.

make_certificates() {
    local dir=$state/tls
    mkdir -p "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=sidecar-kubernetes \
        -keyout "$dir/ca.key" -out "$dir/ca.crt"
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$dir/accounts.key"
    certificate api /CN=kube-apiserver "serverAuth" \
        "IP:127.0.0.1,IP:$node_address,IP:$api_service,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
    certificate api-to-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
    client admin /O=system:masters/CN=admin "$KUBECONFIG"
    client controllers /CN=system:kube-controller-manager "$state/controllers.kubeconfig"
    client scheduler /CN=system:kube-scheduler "$state/scheduler.kubeconfig"
    client kubelet /O=system:nodes/CN=system:node:node "$state/kubelet.kubeconfig"
    client proxy /CN=system:kube-proxy "$state/proxy.kubeconfig"
}

# certificate NAME SUBJECT USAGE [ALTERNATIVE-NAMES]
certificate() {
    local dir=$state/tls name=$1 subject=$2 usage=$3 names=${4:-}
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" \
        -keyout "$dir/$name.key" -out "$dir/$name.csr"
    {
        echo "extendedKeyUsage=$usage"
        [ -z "$names" ] || echo "subjectAltName=$names"
    } >"$dir/$name.ext"
    openssl x509 -req -days 30 -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -extfile "$dir/$name.ext" \
        -in "$dir/$name.csr" -out "$dir/$name.crt"
}

# client NAME SUBJECT KUBECONFIG
client() {
    local dir=$state/tls file=$3
    certificate "$1" "$2" clientAuth
    (
        export KUBECONFIG=$file
        kubectl config set-cluster sidecar --server="https://$node_address:6443" --certificate-authority="$dir/ca.crt" --embed-certs
        kubectl config set-credentials "$1" --client-certificate="$dir/$1.crt" --client-key="$dir/$1.key" --embed-certs
        kubectl config set-context sidecar --cluster=sidecar --user="$1"
        kubectl config use-context sidecar
    ) >/dev/null
}
