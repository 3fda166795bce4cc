# shellcheck shell=bash
# Volumes that are too small: of memory, and where this machine lets us mount one, ext4.

disks=()

unmount_disks() {
    local disk
    for disk in "${disks[@]}"; do umount "$disk" 2>/dev/null || umount --lazy "$disk"; done
    disks=()
}

check_disk() {
    mkdir -p "$work/disk/src" "$work/disk/many" "$work/www"
    start_nginx
    head -c 3000000 /dev/urandom >"$work/disk/src/large.bin"
    head -c 100000 /dev/urandom >"$work/disk/src/small.bin"
    (cd "$work/disk/many" && touch {1..200})
    tar -C "$work/disk" -czf "$work/disk/tree.tar.gz" src
    (cd "$work/disk" && zip --quiet --recurse-paths tree.zip src)
    cp "$work/disk/src/large.bin" "$work/disk/tree.tar.gz" "$work/www/"

    subject="disk of memory"
    mkdir "$work/disk/tmpfs"
    mount -t tmpfs -o size=2m,nr_inodes=100 tmpfs "$work/disk/tmpfs"
    disks+=("$work/disk/tmpfs")
    on_a_full_disk "$work/disk/tmpfs"

    subject="disk of ext4"
    mkdir "$work/disk/ext4"
    truncate --size 2M "$work/disk/image"
    quietly mkfs.ext4 -q -N 64 -m 0 "$work/disk/image"
    if mount -o loop "$work/disk/image" "$work/disk/ext4" 2>"$work/disk/why"; then
        disks+=("$work/disk/ext4")
        on_a_full_disk "$work/disk/ext4"
    else
        echo "WARNING: no ext4 was filled, only memory: this machine mounts no images ($(cat "$work/disk/why"))" >&2
    fi
    subject="full state volume"
    full_state
    subject="volumes below DEST"
    mounted_below
    subject="closed folders"
    closed_to_their_owner
    unmount_disks
    stop_server nginx
}

# log-sidecar goes on without positions, and has them as soon as there is room.
full_state() {
    logs=$work/disk/logs state=$work/disk/state
    mkdir "$state"
    new_volumes
    mkdir -p "$state"
    mount -t tmpfs -o size=64k tmpfs "$state"
    disks+=("$state")
    head -c 65536 /dev/zero >"$state/full" 2>/dev/null || true
    seq 100 >"$logs/app.log"
    ship stdout
    expect "lines go on" log-sidecar eventually 20 records 100
    expect "and it is told" log-sidecar said "no room for the checkpoint"
    expect "that nothing is written" - test ! -s "$state/checkpoint.json"
    rm "$state/full"
    expect "with room, it is written" log-sidecar eventually 20 grep --quiet '"offset":292' "$state/checkpoint.json"
    expect_stop "it ends well"
    : >"$work/log-sidecar.log"
    ship stdout
    expect "the next run starts" log-sidecar eventually 20 said "the sink is there"
    expect_stop "and ends well"
    expect "without a line sent twice" log-sidecar records 0
}

# records COUNT: what was shipped to stdout.
records() {
    [ "$(grep --count '"message":"[0-9]' "$work/log-sidecar.log")" -eq "$1" ]
}

# A volume of its own and a bind mount of the same one, between which nothing is renamed.
mounted_below() {
    local dest=$work/disk/dest src=$work/disk/below
    mkdir -p "$dest/logs" "$dest/data/deep" "$work/disk/elsewhere" "$src/logs/old" "$src/data/deep/er" "$src/plain"
    for name in top logs/a logs/old/b data/c data/deep/d data/deep/er/e plain/f; do echo "$name" >"$src/$name"; done
    ln "$src/logs/a" "$src/data/hard"
    mount -t tmpfs -o size=1m tmpfs "$dest/logs"
    disks+=("$dest/logs")
    mount --bind "$work/disk/elsewhere" "$dest/data/deep"
    disks=("$dest/data/deep" "${disks[@]}")
    expect "a tree over them" - init_copy "$src/" "$dest/"
    expect "is whole" - same_content "$src" "$dest"
    expect "again has nothing to do" - nothing_to_do init_copy "$src/" "$dest/"
    echo changed >"$src/data/deep/er/e"
    echo changed >"$src/logs/a"
    expect "a change" - init_copy --prune "$src/" "$dest/"
    expect "arrives" - same_content "$src" "$dest"
    expect "nothing staged is left" - nothing_staged "$dest"
    head -c 2000000 /dev/urandom >"$src/logs/too-large"
    expect "what does not fit on one of them: exit 14" - exits 14 init_copy "$src/" "$dest/"
    expect "leaves nothing" - nothing_staged "$dest"
    rm "$src/logs/too-large"
    chown 5:6 "$src/logs/a"
    touch --date 2001-01-01 "$src/logs/a"
    expect "names of one file on two of them" - init_copy --preserve all "$src/" "$dest/"
    expect "have its owner and time on both" - \
        diff <(stat --format '%u:%g %Y' "$src/data/hard") <(stat --format '%u:%g %Y' "$dest/data/hard" "$dest/logs/a" | uniq)
    mkdir -p "$dest/logs/old/nested" "$src/logs/old/nested"
    mount -t tmpfs -o size=1m tmpfs "$dest/logs/old/nested"
    disks=("$dest/logs/old/nested" "${disks[@]}")
    for name in logs/old/a logs/old/nested/x logs/old/z; do echo nested >"$src/$name"; done
    expect "a volume below one of them" - init_copy "$src/" "$dest/"
    expect "gets its part" - same_content "$src" "$dest"
    # Whoever copies to such a volume itself holds its lock, and nothing staged there is another one's leftover.
    touch "$dest/logs/.init-copy-0123abcd-0"
    echo waits >"$src/logs/a"
    flock "$dest/logs" sleep 2 &
    local holder=$!
    sleep 0.2
    expect "one that is taken is waited for" - fails_with 17 'another init-copy holds' init_copy --deadline 500ms "$src/" "$dest/"
    expect "and is not swept" - test -e "$dest/logs/.init-copy-0123abcd-0"
    wait "$holder"
    expect "until it is free" - init_copy "$src/" "$dest/"
    # What the holder puts there in the meantime is there to be kept.
    echo wanted >"$src/logs/late"
    flock "$dest/logs" sh -c 'sleep 1; echo of another >"$1"' - "$dest/logs/late" &
    holder=$!
    sleep 0.2
    expect "with what was put there while it was waited for" - init_copy --existing keep "$src/" "$dest/"
    wait "$holder"
    expect "kept" - grep -q 'of another' "$dest/logs/late"
    rm "$src/logs/late"
    expect "a download into one" nginx init_copy "http://127.0.0.1:${server_port[nginx]}/tree.tar.gz" "$dest/data/deep/"
}

# As a user without rights: folders that not even their owner may write into are opened for the copy, and closed again.
closed_to_their_owner() {
    local home=$work/disk/nobody
    mkdir -p "$home/src/closed" "$home/src/plain"
    echo 1 >"$home/src/closed/a"
    echo 1 >"$home/src/plain/b"
    chown -R nobody: "$home"
    as_nobody() { setpriv --reuid nobody --regid "$(id --group nobody)" --clear-groups "$binary" "$@"; }
    expect "folders of 0555" - as_nobody --dir-mode 0555 "$home/src/" "$home/dest"
    echo 1 >"$home/src/closed/new"
    expect "something new in one" - as_nobody --dir-mode 0555 "$home/src/" "$home/dest"
    expect "comes, and it is closed again" - diff <(echo 555) <(stat --format %a "$home/dest/closed" "$home/dest/plain" "$home/dest" | uniq)
    expect "with a receipt" - as_nobody verify "$home/dest"
    echo 1 >"$home/src/closed/newer"
    expect "something new, and another mode" - as_nobody --dir-mode 0755 "$home/src/" "$home/dest"
    expect "which it has" - diff <(echo 755) <(stat --format %a "$home/dest/closed" "$home/dest/plain" | uniq)
    expect "then nothing is to be done" - nothing_to_do as_nobody --dir-mode 0755 "$home/src/" "$home/dest"
    # What the application did to something stale does not keep the rest from coming.
    mv "$home/dest/closed" "$home/dest/elsewhere"
    ln -s elsewhere "$home/dest/closed"
    rm -r "$home/src/closed"
    echo 2 >"$home/src/plain/b"
    expect "something stale behind a link" - as_nobody --prune --dir-mode 0755 "$home/src/" "$home/dest"
    expect "stays, and the rest comes" - diff <(printf '1\n2\n') <(cat "$home/dest/elsewhere/a" "$home/dest/plain/b")
}

nothing_staged() {
    [ -z "$(find "$1" -name '.init-copy-*' | tee /dev/stderr)" ]
}

# on_a_full_disk DIR: exit 14, and nothing but what was there.
on_a_full_disk() {
    local dir=$1 src=$work/disk/src before
    cp "$src/small.bin" "$dir/"
    quietly init_copy "$src/small.bin" "$dir/app/"
    before=$(listing_of_all "$dir")
    full "a file that does not fit" "$src/large.bin" "$dir/new/"
    full "into a folder that is there" "$src/large.bin" "$dir/app/"
    full "over a file that is there" "$src/large.bin" "$dir/app/small.bin"
    full "a tree" "$src" "$dir/app/"
    full "a tree as a whole" --publish exchange "$src/" "$dir/app/"
    full "a tree behind a link" --publish symlink "$src/" "$dir/current/"
    full "a tar" --unpack "$work/disk/tree.tar.gz" "$dir/new/"
    full "a zip" --unpack "$work/disk/tree.zip" "$dir/new/"
    full "a download" "http://127.0.0.1:${server_port[nginx]}/large.bin" "$dir/new/"
    full "an archive from a server" --unpack "http://127.0.0.1:${server_port[nginx]}/tree.tar.gz" "$dir/new/"
    full "more files than inodes" "$work/disk/many/" "$dir/new/"
    expect "plan says so before: exit 14" - exits 14 init_copy plan "$src/large.bin" "$dir/new/"
    expect "what was there is as it was copied" - init_copy verify --full "$dir/app"
    expect "and what fits is copied" - init_copy "$src/small.bin" "$dir/other/"
}

# full TEXT ARGUMENT...
full() {
    local text=$1
    shift
    expect "$text: exit 14" - exits 14 init_copy "$@"
    expect "$text: nothing but what was there" - diff <(echo "$before") <(listing_of_all "$dir")
}

listing_of_all() {
    (cd "$1" && find . -mindepth 1 -printf '%P %y %m %s\n' | sort)
}
