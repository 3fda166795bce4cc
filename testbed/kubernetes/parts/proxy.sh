# shellcheck shell=bash
# The examples of examples/proxy-sidecar: headless Services, of HTTP and of gRPC, whose pods come and go under load, a Secret that is renewed, a primary that is
# deleted. What the application notices of it.

check_proxy() {
    enter proxy
    subject="proxy-sidecar/cluster"
    members_come_and_go
    subject="proxy-sidecar/grpc"
    servers_come_and_go
    subject="proxy-sidecar/mutual-tls"
    mkdir -p "$work/proxy-tls"
    quietly make_proxy_certificates
    a_renewed_certificate_is_shown
    subject="proxy-sidecar/postgresql"
    the_primary_changes
    leave
}

# proxy_example CASE: its pod is there, and what of it is the same for all.
proxy_example() {
    pod=$1
    expect "it is accepted under the standard 'restricted'" - k apply --filename "$root/examples/proxy-sidecar/$1/pod.yaml"
    expect "it becomes ready" proxy-sidecar becomes_ready "$pod"
    expect "the sidecar has 20m CPU and 32 MiB" - is_small "$pod"
}

# The sidecar is there until the application has ended, and ends in order.
example_ends() {
    expect "nothing was restarted" - without_restart "$pod"
    keep_pod
    k delete pod "$pod" --wait=false >/dev/null
    expect "it ends within the period" - eventually 60 all_have_ended
    expect "the proxy ends with 0" - says_in_the_end proxy-sidecar 'exit 0 Completed: '
}

# grows_and_shrinks DEPLOYMENT ANSWER: from two pods to four and back; `ANSWER COUNT` tells whether so many answer.
grows_and_shrinks() {
    k scale deployment "$1" --replicas 4 >/dev/null
    expect "of four, all answer" proxy-sidecar eventually 60 "$2" 4
    k scale deployment "$1" --replicas 2 >/dev/null
    expect "of two, two answer" proxy-sidecar eventually 60 "$2" 2
}

# The example, whose application has had its answers all the time.
ends_without_error() {
    example_ends
    expect "the application has seen no error: $(message app | grep --only-matching 'asked [0-9]* times')" - \
        says_in_the_end app ' times, 0 failed'
    release_pod
}

members_come_and_go() {
    headless_cluster search 9200 peers '"backend", "--listen", "0.0.0.0:9200", "--name", "$(NAME)"' '{tcpSocket: {port: 9200}, periodSeconds: 1}'
    proxy_example cluster
    expect "both pods answer" proxy-sidecar eventually 20 members_answer 2
    grows_and_shrinks search members_answer
    members=$(k get pods --selector app=search --output jsonpath='{.items[*].metadata.name}')
    k delete pod --selector app=search --wait=false >/dev/null
    expect "both are replaced" - eventually 60 are_others
    expect "and their successors answer" proxy-sidecar eventually 60 members_answer 2
    expect "those that left are told" - logs_say proxy-sidecar 'endpoint has left the cluster'
    ends_without_error
}

# members_answer COUNT: of forty requests, so many pods answer some.
members_answer() {
    local seen
    seen=$(exec_in app curl --silent --show-error --fail --max-time 10 "http://127.0.0.1:9200/?[1-40]" | grep -o 'search-[a-z0-9-]*' | sort --unique)
    echo "$seen"
    [ "$(wc -l <<<"$seen")" = "$1" ]
}

# None of `members` is there any more.
are_others() {
    local now
    now=$(k get pods --selector app=search --output jsonpath='{.items[*].metadata.name}')
    echo "$now"
    [ "$(wc -w <<<"$now")" = 2 ] && ! grep --quiet --word-regexp --file <(tr ' ' '\n' <<<"$members") <<<"$now"
}

servers_come_and_go() {
    headless_cluster stock 50051 grpc '"serve", "0.0.0.0:50051", "$(NAME)"' '{grpc: {port: 50051}, periodSeconds: 1}'
    proxy_example grpc
    expect "calls of one connection are spread over both" proxy-sidecar eventually 20 servers_answer 2
    grows_and_shrinks stock servers_answer
    ends_without_error
}

# servers_answer COUNT: of the calls of two seconds, so many pods answer some.
servers_answer() {
    local said
    said=$(exec_in app /usr/local/bin/calls load 127.0.0.1:50051 2)
    echo "$said"
    [ "$(cut -d' ' -f4- <<<"$said" | wc -w)" = "$1" ]
}

# headless_cluster NAME PORT IMAGE ARGUMENTS PROBE: two pods, each of which says its name.
headless_cluster() {
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: Service
metadata: {name: $1}
spec:
  clusterIP: None
  selector: {app: $1}
  ports: [{port: $2}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  replicas: 2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 15
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: $1
          image: localhost/$3:dev
          args: [$4]
          env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          readinessProbe: $5
          # The cluster's name server says for five seconds more that it is there.
          lifecycle: {preStop: {sleep: {seconds: 8}}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
EOF
    k rollout status "deployment/$1" --timeout 60s >/dev/null
}

# A CA, and what servers and client have of it, as Secrets.
make_proxy_certificates() {
    (
        cd "$work/proxy-tls"
        authority ca
        issue server ca CA:FALSE DNS:orders,DNS:db-0,DNS:db-1
    )
    secret server server
    client_certificate app-1
    k create configmap orders --from-file "nginx.conf=$root/testbed/shell/mutual-tls.conf"
    k create secret generic database --from-literal password=secret-of-a-test
    k create secret generic database-ca --from-file "ca.crt=$work/proxy-tls/ca.pem"
}

# client_certificate NAME: in the place of the one before.
client_certificate() {
    (cd "$work/proxy-tls" && issue "$1" ca CA:FALSE '')
    secret orders-client "$1"
}

# secret NAME CERTIFICATE: as cert-manager writes it.
secret() {
    local dir=$work/proxy-tls
    k create secret generic "$1" --type kubernetes.io/tls --dry-run=client --output yaml \
        --from-file "ca.crt=$dir/ca.pem" --from-file "tls.crt=$dir/$2.pem" --from-file "tls.key=$dir/$2.key" | k apply --filename -
}

a_renewed_certificate_is_shown() {
    tls_peer orders 8443 nginx '"/usr/sbin/nginx", "-e", "stderr", "-c", "/config/nginx.conf"'
    proxy_example mutual-tls
    expect "the application gets its answer" app eventually 20 app_is_told 'hello CN=app-1'
    expect "the server takes nobody without a certificate" - refuses_us
    quietly client_certificate app-2
    # The kubelet takes a minute or so to bring a change into the volume.
    expect "a renewed one is shown without a restart" proxy-sidecar eventually 150 app_is_told 'hello CN=app-2'
    example_ends
    release_pod
}

the_primary_changes() {
    tls_peer db-0 5432 postgresql '"/usr/local/bin/serve.sh", "primary"'
    tls_peer db-1 5432 postgresql '"/usr/local/bin/serve.sh", "standby", "db-0"'
    proxy_example postgresql
    expect "orders are stored" app eventually 60 stored_orders 10
    k delete pod db-0 --wait=false >/dev/null
    expect "the primary is gone" - eventually 60 is_gone db-0
    # shellcheck disable=SC2016  # for the shell in the pod
    quietly k exec db-1 -- bash -c 'PGDATA=/data/server $(echo /usr/lib/postgresql/*/bin/pg_ctl) promote'
    expect "the other one becomes the primary, and they go on" app eventually 60 stored_orders 40
    expect "every order that was acknowledged is there" app all_orders_are_there
    example_ends
    release_pod
}

is_gone() {
    ! k get pod "$1" >/dev/null 2>&1
}

# tls_peer NAME PORT IMAGE COMMAND: with the servers' certificate, and the password of the database.
tls_peer() {
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: Service
metadata: {name: $1}
spec:
  selector: {peer: $1}
  ports: [{name: traffic, port: $2}, {name: check, port: 8008}]
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {peer: $1}}
spec:
  terminationGracePeriodSeconds: 15
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: $1
      image: localhost/$3:dev
      command: [$4]
      env: [{name: PGPASSWORD, valueFrom: {secretKeyRef: {name: database, key: password}}}]
      readinessProbe: {tcpSocket: {port: $2}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: tmp, mountPath: /tmp}, {name: data, mountPath: /data}, {name: tls, mountPath: /tls}, {name: config, mountPath: /config}]
  volumes:
    - {name: tmp, emptyDir: {}}
    - {name: data, emptyDir: {}}
    - {name: tls, secret: {secretName: server, defaultMode: 0440}}
    - {name: config, configMap: {name: orders}}
EOF
    k wait --for=condition=Ready --timeout=120s "pod/$1" >/dev/null
}
