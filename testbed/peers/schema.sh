# shellcheck shell=bash
# The JSON Schema of each binary's file, by a validator that is not ours: it and the binary have to agree on every file.

check_schema() {
    local name
    subject=schema
    mkdir -p "$work/schema"
    for name in init-copy log-sidecar proxy-sidecar adapter-sidecar; do
        "$binaries/$name" schema >"$work/schema/$name.json"
    done
    agreed init-copy valid <"$root/examples/init-copy/wait-then-copy/templates/steps.yaml"
    agreed init-copy valid < <(config_map "$root/examples/init-copy/wait-then-copy/pod.yaml")
    agreed init-copy valid <<<'{source: [/a, /b], dest: /d, unpack: tar.gz, strip-components: 1, prune: true, mode: 0640, deadline: off}'
    agreed init-copy valid <<<'{source: /a, dest: /d, owner: 1000, max-bytes: 5MiB, proof: digest}'
    agreed init-copy refused <<<'{source: /a, dest: /d, unpakc: zip}'
    agreed init-copy refused <<<'{source: /a, dest: /d, unpack: rar}'
    agreed init-copy refused <<<'{source: {a: b}, dest: /d}'
    agreed init-copy refused <<<'{source: /a, dest: [/d, /e]}'
    agreed init-copy refused <<<'{steps: {a: {source: /a, dest: /d, colour: red}}}'
    agreed init-copy refused <<<'{steps: [{source: /a, dest: /d}]}'
    agreed init-copy refused <<<'{source: /a, dest: /d, deadline: 10}'
    agreed log-sidecar valid <<<'{include: /logs/*.log, to: stdout, flush-interval: 1s, admin: off}'
    agreed log-sidecar refused <<<'{include: /logs/*.log, to: stdout, flush-interval: 5}'
    agreed proxy-sidecar valid <<<'{services: {orders: {listen: "127.0.0.1:81", to: http://o.example:80}, db: {listen: "127.0.0.1:54", to: [tcp://a:1, tcp://b:1], balance: sticky}}}'
    agreed proxy-sidecar refused <<<'{services: {orders: {listen: "127.0.0.1:81", to: http://o.example:80, retries: many}}}'
    agreed proxy-sidecar refused <<<'{services: {orders: {listen: "127.0.0.1:81", to: http://o.example:80, grace: 1s}}}'
    agreed adapter-sidecar valid <<<'{listen: ":9102", metrics-from: "http://127.0.0.1:8080/health", on-down: metric}'
    agreed adapter-sidecar refused <<<'{listen: ":9102", metrics-from: "http://127.0.0.1:8080/health", on-down: shrug}'
}

# The file that a ConfigMap of the pod spec holds.
config_map() {
    python3 -c 'import sys, yaml
print(next(d for d in yaml.safe_load_all(open(sys.argv[1])) if d["kind"] == "ConfigMap")["data"]["steps.yaml"])' "$1"
}

# agreed NAME valid|refused: the file on standard input, by the validator and by `check`.
agreed() {
    local file code=0
    file=$(mktemp -p "$work/schema" XXXXXX.yaml)
    cat >"$file"
    if [ "$2" = refused ]; then code=1; fi
    expect "$1: $2 by the schema: $(head -c 60 "$file" | head -n 1)" - exits "$code" python3 "$here/validate.py" "$work/schema/$1.json" "$file"
    if [ "$2" = refused ]; then code=2; fi
    expect "$1: $2 by check: $(head -c 60 "$file" | head -n 1)" - exits "$code" "$binaries/$1" check --config "$file"
}
