# shellcheck shell=bash
# The pod specs against the schema of the newest Kubernetes that kubernetes-validate knows.

check_specs() {
    local venv=$cache/kubernetes-validate
    subject=specs
    if [ ! -x "$venv/bin/kubernetes-validate" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet kubernetes-validate
    fi
    local spec
    for spec in "$root"/examples/*/pod*.yaml "$root"/examples/{init-copy,log-sidecar,proxy-sidecar}/*/pod.yaml "$root"/examples/log-sidecar/job/job.yaml "$root"/examples/workloads/*.yaml; do
        expect "${spec#"$root/"} is valid" - "$venv/bin/kubernetes-validate" --strict "$spec"
    done
}
