# shellcheck shell=bash
# Bad ground: what `up` says, before it does anything.

check_ground() {
    local up=$kubernetes/up
    subject=ground
    expect "not root" - refused "not root" setpriv --reuid 65534 --clear-groups "$up"
    expect "no Go" - refused "no Go: " env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$up"
    expect "no cgroups" - refused "no cgroup hierarchy with 'memory'" \
        unshare --mount sh -c "mount -t tmpfs none /sys/fs/cgroup && exec $up"
    expect "no network namespaces" - refused "no network namespaces" \
        setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$up"
    expect "addresses taken" - refused "are taken: 198.18.128.0/18" \
        unshare --net sh -c "ip link set lo up && ip route add 198.18.128.0/18 dev lo && exec $up"
    expect "up is interrupted: nothing is left of it" - interrupted
    expect "a build cut short: nothing is left of it" - cut_short
}

# refused TEXT COMMAND...: with exit code 1 and this text, and nothing was made.
refused() {
    local text=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "it was not refused"
        return 1
    fi
    echo "$said"
    grep --quiet --fixed-strings -- "$text" <<<"$said" && [ ! -e "$state" ]
}

interrupted() {
    ! timeout --signal TERM 3 "$kubernetes/up" || return
    same_machine
}

# Go is ended while it compiles; another target folder, so that what is there stays.
cut_short() {
    local dir=$work/cut
    ! timeout --signal INT 1 "$kubernetes/install.sh" "$dir" || return
    find "$dir"
    [ "$(find "$dir" | wc -l)" -eq 1 ]
}

# The cluster's ports are in a network of its own: those of this machine may be taken, as they are while `up` runs here.
hold_ports() {
    python3 -c '
import signal, socket
for port in 53, 2379, 2380, 6443, 10249, 10250, 10259:
    held = socket.socket()
    held.bind(("0.0.0.0", port))
    held.listen()
    globals()[f"held_{port}"] = held
signal.pause()' &
    holder=$!
}

release_ports() {
    kill "$holder"
    wait "$holder" || true
    holder=
}
