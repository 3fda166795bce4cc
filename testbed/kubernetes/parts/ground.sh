# shellcheck shell=bash
# Bad ground: what `up` says, before it does anything; and what is left when it is ended in the middle.

check_ground() {
    local up=$kubernetes/up
    subject=ground
    expect "not root" - refused "not root" setpriv --reuid 65534 --clear-groups "$up"
    commands_without_go
    expect "no Go" - refused "no Go: " env PATH="$work/commands" "$up"
    expect "no cgroups" - refused "no cgroup hierarchy with 'memory'" \
        unshare --mount sh -c "mount -t tmpfs none /sys/fs/cgroup && exec $up"
    expect "no network namespaces" - refused "no network namespaces" \
        setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$up"
    expect "addresses taken" - refused "the addresses $service_range are taken by the route" \
        unshare --net sh -c "ip link set lo up && ip route add $service_range dev lo && exec $up"
    expect "a build cut short says so, and leaves nothing" - build_is_cut_short
    # Not in the middle of a build.
    quietly "$kubernetes/compile.sh" "$programs"
    expect "up is ended in the middle, and leaves nothing" - up_is_ended
    expect "two at once: one is refused, and the other one's cluster stays" - two_at_once
}

# refused TEXT COMMAND...: with exit code 1 and this text, and nothing was made.
refused() {
    local text=$1 said
    shift
    if said=$("$@" 2>&1); then
        "$kubernetes/down"
        echo "it was not refused"
        return 1
    fi
    echo "$said"
    grep --quiet --fixed-strings -- "$text" <<<"$said" && [ ! -e "$state" ]
}

commands_without_go() {
    mkdir "$work/commands"
    # Names that are in both folders are no failure.
    ln -s /usr/sbin/* /usr/bin/* "$work/commands/" 2>/dev/null || true
    rm -f "$work/commands/go"
}

# Into a folder of its own, so that what is there stays.
build_is_cut_short() {
    local dir=$work/cut builder said=$work/cut-said
    mkdir "$dir"
    setsid "$kubernetes/compile.sh" "$dir" >"$said" 2>&1 &
    builder=$!
    eventually 30 find_compiler "$builder"
    kill -TERM -- "-$builder"
    ! wait "$builder" || return
    cat "$said"
    ls -A "$dir"
    grep --quiet 'was not compiled' "$said" && [ -z "$(ls -A "$dir")" ]
}

find_compiler() {
    ps --sid "$1" --format args | grep '^go build'
}

up_is_ended() {
    local up
    "$kubernetes/up" >"$work/up-said" 2>&1 &
    up=$!
    eventually 60 test -e "$state/pid/api"
    kill -TERM "$up"
    ! wait "$up" || return
    cat "$work/up-said"
    same_machine
}

two_at_once() {
    local first second codes
    "$kubernetes/up" >"$work/first-said" 2>&1 &
    first=$!
    "$kubernetes/up" >"$work/second-said" 2>&1 &
    second=$!
    codes=0 && { wait "$first" || codes=1; }
    if wait "$second"; then codes+=0; else codes+=1; fi
    cat "$work/first-said" "$work/second-said"
    echo "exit codes $codes"
    kubectl get --raw /readyz
    "$kubernetes/down"
    [[ $codes == 01 || $codes == 10 ]] && same_machine
}

held_ports="53 2379 2380 6443 10249 10250 10259"

# The cluster's ports are in a network of its own: those of this machine may be taken, as they are from here on.
hold_ports() {
    # shellcheck disable=SC2086  # one argument a port
    python3 -c '
import signal, socket, sys
held = []
for port in map(int, sys.argv[1:]):
    try:
        held.append(socket.create_server(("0.0.0.0", port)))
    except OSError:
        pass  # taken already, which is as good
print("held", flush=True)
signal.pause()' $held_ports >"$work/held" &
    holder=$!
    eventually 10 grep --quiet held "$work/held"
}

ports_are_taken() {
    local port
    for port in $held_ports; do
        ss --listening --tcp --numeric --no-header "sport = :$port" | grep . || { echo "$port is free"; return 1; }
    done
}

release_ports() {
    kill "$holder" 2>/dev/null || true
    wait "$holder" || true
    holder=
}
