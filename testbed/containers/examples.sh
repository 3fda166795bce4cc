# shellcheck shell=bash
# The examples of examples/init-copy, each under `podman kube play` and Docker Compose, seen from outside.

# Those that wait for nothing come last: the first one starts the server that it waits for.
init_copy_examples() {
    make_site
    example wait-then-copy the_wait_ends
    example download a_site_is_served
    example artifact an_artifact_is_served
    example war a_war_is_deployed
}

# example CASE CHECK: up, checked, and down again.
example() {
    local before=$failed
    case_name=$1
    example_is_up=yes
    subject="$engine, examples/init-copy/$1"
    prepare_example
    "$2"
    if [ "$failed" -eq "$before" ]; then
        expect "the application has no rights" app has_no_rights
    fi
    example_down >/dev/null 2>&1 || true
    example_is_up=
}

the_wait_ends() {
    local starting
    (quietly example_up) &
    starting=$!
    expect "init-copy waits for the server" init-copy eventually 60 logs_of init-copy '"condition":"http://files:8080/SHA256SUMS"'
    expect "the server is started" - start_files
    wait "$starting" || true
    find_example
    expect "the application has the configuration, with variables in it" app eventually 30 says '^hello from .* at /greeting$' "$app/greeting"
    expect "and the site" app eventually 30 serves "$work/files/site/index.html" "$app/index.html"
    expect "its probe is content" app exec_in app /tools/init-copy verify /site
    expect "also with what was configured" app exec_in app /tools/init-copy verify --full /config
    becomes_healthy
    echo changed >"$(mounted app /site)/index.html"
    expect "its probe notices what was changed: exit 11" app exits 11 exec_in app /tools/init-copy verify /site
    expect "init-copy repairs it" init-copy runs_once_more '"copied":1'
    expect "and the probe is content again" app exec_in app /tools/init-copy verify /site
}

a_site_is_served() {
    expect "files are there" - start_files
    expect "it comes up" init-copy example_up
    find_example
    expect "the site is served" app eventually 30 serves "$work/files/site/index.html" "$app/index.html"
    expect "with what is in its folders" app serves "$work/files/site/css/style.css" "$app/css/style.css"
    expect "a second run has nothing to do" init-copy runs_once_more 'nothing to do'
    rm "$work/files/site/css/style.css"
    echo '<p>second</p>' >"$work/files/site/index.html"
    pack_site
    expect "a release is taken up" init-copy runs_once_more '"message":"done"'
    expect "and served" app serves "$work/files/site/index.html" "$app/index.html"
    expect "what it no longer has is gone" app answers 404 "$app/css/style.css"
}

an_artifact_is_served() {
    local registry
    expect "the registry is there" - start_registry
    registry=$(address_of "$(container registry)"):5000
    expect "oras pushes the artifact" registry eventually 30 push "$registry/site:v1" index.html
    expect "it comes up" init-copy example_up
    find_example
    expect "the artifact is served" app eventually 30 serves "$work/files/site/index.html" "$app/index.html"
    expect "a second run has nothing to do" init-copy runs_once_more 'nothing to do'
    echo '<p>third</p>' >"$work/files/site/index.html"
    mkdir -p "$work/files/site/img"
    echo logo >"$work/files/site/img/logo"
    expect "oras moves the tag" registry push "$registry/site:v1" index.html img
    expect "what it now means is taken up" init-copy runs_once_more '"message":"done"'
    expect "and served" app serves "$work/files/site/index.html" "$app/index.html"
    expect "with a folder" app serves "$work/files/site/img/logo" "$app/img/logo"
}

a_war_is_deployed() {
    expect "it comes up" init-copy example_up
    find_example
    expect "init-copy has put the WAR into the volume" app cmp "$(sample_war)" "$(mounted app /tomcat/webapps)/sample.war"
    expect "Tomcat has deployed it: /sample/ answers 200" app eventually 90 answers 200 "$app/sample/"
    expect "a second run has nothing to do" init-copy runs_once_more 'nothing to do'
}

logs_of() {
    "$engine" logs "$(container "$1")" 2>&1 | grep --fixed-strings -- "$2"
}

# runs_once_more TEXT: the init container succeeds, and says this.
runs_once_more() {
    local said
    said=$(run_init_again 2>&1) || { echo "$said"; return 1; }
    echo "$said"
    grep --quiet --fixed-strings -- "$1" <<<"$said"
}

# Not root, no capability, a seccomp filter, no new privileges; and the engine says that its root is read-only.
has_no_rights() {
    local pid
    pid=$(pid_of app)
    grep -E '^(Uid|Cap|NoNewPrivs|Seccomp):?' "/proc/$pid/status"
    awk '/^Uid:/ && $2 == 0 || /^Cap(Eff|Prm|Bnd):/ && $2 !~ /^0+$/ || /^NoNewPrivs:/ && $2 != 1 || /^Seccomp:/ && $2 != 2 { bad = 1 } END { exit bad }' \
        "/proc/$pid/status"
    [ "$("$engine" inspect --format '{{.HostConfig.ReadonlyRootfs}}' "$(container app)")" = true ]
}
