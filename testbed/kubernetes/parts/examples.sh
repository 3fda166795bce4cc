# shellcheck shell=bash
# Pod specs of examples/, as they stand.

check_examples() {
    local spec registry
    enter examples
    make_site
    meet store backend-1 backend-2 backend-3 files registry
    registry=$(address_of registry):5000
    expect "oras pushes the artifact" registry eventually 30 push "$registry/site:v1" index.html css
    # Those of log-sidecar have a part of their own.
    for spec in "$root"/examples/*/pod*.yaml "$root"/examples/init-copy/*/pod*.yaml; do
        subject=${spec#"$root/"}
        pod=$(k create --dry-run=client --filename "$spec" --output json | jq --raw-output 'select(.kind == "Pod") | .metadata.name')
        expect "it is accepted under the standard 'restricted'" - k apply --filename "$spec"
        expect "it becomes ready" - becomes_ready "$pod"
        case $subject in
        *all-four/*) expect "each sidecar has 20m CPU and 32 MiB" - is_small "$pod" ;;
        *war/*) expect "the WAR is deployed" tomcat eventually 30 answers 200 "$(address_of "$pod"):8080/sample/" ;;
        *init-copy/*) expect "the site is served" nginx eventually 30 serves "$work/files/site/index.html" "$(address_of "$pod"):8080/index.html" ;;
        esac
        expect "nothing was restarted" - without_restart "$pod"
        case $subject in *war/*) the_sandbox_dies ;; esac
        k delete --filename "$spec" --wait=false >/dev/null
    done
    leave
}

# As after a restart of the node: all containers of the pod start over, those of the beginning too, on the volumes that are there.
the_sandbox_dies() {
    local sandbox
    sandbox=$(ctr containers list --quiet "labels.\"io.kubernetes.pod.name\"==$pod,labels.\"io.cri-containerd.kind\"==sandbox")
    ctr tasks kill --signal KILL "$sandbox"
    expect "its sandbox is killed, and init-copy runs again" init-copy eventually 60 logs_say init-copy 'nothing to do'
    expect "the pod is ready again" tomcat becomes_ready "$pod"
    expect "and the site is up" tomcat eventually 30 answers 200 "$(address_of "$pod"):8080/sample/"
}
