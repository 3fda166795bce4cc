# shellcheck shell=bash
# proxy-sidecar before a headless Service whose pods come and go under load: each is an endpoint, and no client sees it.

check_proxy() {
    local codes=$work/proxy-codes address
    enter proxy
    subject="proxy-sidecar, headless"
    headless_cluster 2
    ambassador
    address=$(address_of ambassador):9200
    expect "each sidecar has 20m CPU and 32 MiB" - is_small ambassador
    expect "both pods answer" proxy-sidecar eventually 20 members_answer 2 "$address"
    load 20 "http://$address/?n=" "$codes"
    k scale deployment search --replicas 4 >/dev/null
    expect "of four, all answer" proxy-sidecar eventually 60 members_answer 4 "$address"
    k scale deployment search --replicas 2 >/dev/null
    expect "of two, two answer" proxy-sidecar eventually 60 members_answer 2 "$address"
    members=$(k get pods --selector app=search --output jsonpath='{.items[*].metadata.name}')
    k delete pod --selector app=search --wait=false >/dev/null
    expect "both are replaced" - eventually 60 are_others
    expect "and their successors answer" proxy-sidecar eventually 60 members_answer 2 "$address"
    load_ends "$codes"
    pod=ambassador
    expect "those that left are told" - logs_say proxy-sidecar 'endpoint has left the cluster'
    expect "nothing was restarted" - without_restart ambassador
    leave
}

# members_answer COUNT ADDRESS: of forty requests, so many pods answer some.
members_answer() {
    local seen
    seen=$(curl --silent --show-error --fail --max-time 10 "http://$2/?[1-40]" | grep -o 'search-[a-z0-9-]*' | sort --unique)
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

# headless_cluster REPLICAS: each pod says its name.
headless_cluster() {
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: Service
metadata: {name: search}
spec:
  clusterIP: None
  selector: {app: search}
  ports: [{port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: search}
spec:
  replicas: $1
  selector: {matchLabels: {app: search}}
  template:
    metadata: {labels: {app: search}}
    spec:
      terminationGracePeriodSeconds: 15
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: search
          image: localhost/peers:dev
          args: [backend, --listen, "0.0.0.0:8080", --name, \$(NAME)]
          env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
          # The cluster's name server says for five seconds more that it is there.
          lifecycle: {preStop: {sleep: {seconds: 8}}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
EOF
    k rollout status deployment/search --timeout 60s >/dev/null
}

# The proxy, for who is not in its pod.
ambassador() {
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: Pod
metadata: {name: ambassador}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: proxy-sidecar
      image: localhost/proxy-sidecar:dev
      args: ["--listen=0.0.0.0:9200", "--to=http://search:8080"]
      readinessProbe: {httpGet: {path: /readyz, port: 9602}, periodSeconds: 1}
      resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 20m, memory: 32Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
EOF
    expect "it is ready" - becomes_ready ambassador 60
}
