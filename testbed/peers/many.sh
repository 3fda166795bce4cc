# shellcheck shell=bash
# As many entries as are allowed without asking for more: how much memory a run takes, and one that finds all in place.

check_many() {
    subject=many
    local tree=$work/many
    mkdir -p "$tree"
    # 100,000 with the folders and the tree itself.
    python3 -c 'import os, sys
for folder in range(400):
    os.makedirs(f"{sys.argv[1]}/d{folder:03}")
    for file in range(249 - (folder == 0)):
        open(f"{sys.argv[1]}/d{folder:03}/file-{file:04}.txt", "x").close()' "$tree"
    expect "100,000 entries in 40 MiB" - in_memory 40 init_copy --durability none "$tree/" "$work/many-out/"
    expect "again in 16 MiB" - in_memory 16 init_copy --durability none "$tree/" "$work/many-out/"
    expect "one more is refused: exit 14, and what to do" - \
        fails_with 14 --max-entries init_copy --durability none "$tree/" "$here/run.sh" "$work/many-more/"
    rm -rf "$tree" "$work/many-out"
}

# in_memory MIB COMMAND...: its peak is at most that.
in_memory() {
    local most=$1
    shift
    if [ "$1" = init_copy ]; then set -- "$binary" "${@:2}"; fi
    python3 -c 'import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{peak:.1f} MiB")
sys.exit(code or peak > float(sys.argv[1]))' "$most" "$@"
}
