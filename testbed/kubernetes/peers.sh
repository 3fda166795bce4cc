# shellcheck shell=bash
# What the pods of the examples meet outside, as pods of their own in the same namespace.

# meet NAME...: of store, archive, backend-1 to backend-3, files, registry; ready when it returns.
meet() {
    local name
    for name in "$@"; do
        case $name in
        store | archive) peer "$name" 9200 peers store --listen 0.0.0.0:9200 ;;
        backend-*) peer "$name" 8080 peers backend --listen 0.0.0.0:8080 --name "b${name#backend-}" ;;
        files)
            k create configmap site --from-file "$work/files/site.tar.gz" --from-file "$work/files/SHA256SUMS" >/dev/null
            peer files 8080 nginx
            ;;
        registry) peer registry 5000 registry ;;
        esac
    done
    k wait --for=condition=Ready --timeout=60s "${@/#/pod/}" >/dev/null
}

# peer NAME PORT IMAGE [ARGUMENT...]
peer() {
    local name=$1 port=$2 image=$3
    shift 3
    k apply --filename - >/dev/null <<EOF
apiVersion: v1
kind: Service
metadata: {name: $name}
spec:
  selector: {peer: $name}
  ports: [{port: $port}]
---
apiVersion: v1
kind: Pod
metadata: {name: $name, labels: {peer: $name}}
spec:
  terminationGracePeriodSeconds: 2
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: $name
      image: localhost/$image:dev
      args: $(jq --null-input --compact-output '$ARGS.positional' --args -- "$@")
      readinessProbe: {tcpSocket: {port: $port}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: tmp, mountPath: /tmp}, {name: site, mountPath: /site}]
  volumes:
    - {name: tmp, emptyDir: {}}
    - {name: site, configMap: {name: site, optional: true}}
EOF
}
