# shellcheck shell=bash
# What a check looks at.

# The binary under test, with its log as text.
init_copy() {
    "$binary" "$@"
}

# tells TEXT COMMAND...: succeeds, and says this.
tells() {
    local text=$1 said
    shift
    said=$("$@" 2>&1) || { echo "$said"; return 1; }
    echo "$said"
    grep --quiet --fixed-strings -- "$text" <<<"$said"
}

# fails_with CODE TEXT COMMAND...
fails_with() {
    local wanted=$1 text=$2 code=0 said
    shift 2
    said=$("$@" 2>&1) || code=$?
    echo "$said"
    echo "exit code $code"
    [ "$code" -eq "$wanted" ] && grep --quiet --fixed-strings -- "$text" <<<"$said"
}

nothing_to_do() {
    tells "nothing to do" "$@"
}

# The tree in DIR: paths, kinds, modes, links, and the content of files; not what init-copy keeps for itself.
listing() {
    (
        cd "$1"
        find . -mindepth 1 ! -name '.init-copy*' ! -type l -printf '%P %y %m\n' -o -type l -printf '%P %y %l\n' | sort
        find . -type f ! -name '.init-copy*' -exec sha256sum {} + | sort -k 2
    )
}

# same_tree WANTED FOUND: `<` marks what is wanted, `>` what is found instead.
same_tree() {
    diff <(listing "$1") <(listing "$2")
}

# same_content WANTED FOUND: without modes, where a format has none.
same_content() {
    diff <(listing "$1" | sed -E 's/ ([df]) [0-7]+$/ \1/') <(listing "$2" | sed -E 's/ ([df]) [0-7]+$/ \1/')
}

# holds_only DIR NAME...: not even a hidden name of a run that failed.
holds_only() {
    local dir=$1
    shift
    diff <(printf '%s\n' "$@" | sort) <(find "$dir" -mindepth 1 -maxdepth 1 -printf '%P\n' | sort)
}

# logged PATTERN: a line of nginx's access log matches; it is written when the answer is out.
logged() {
    grep -E -- "$1" "$work/nginx/access"
}

# never_logged PATTERN
never_logged() {
    ! grep -E -- "$1" "$work/nginx/access"
}

# What applications are made of: scripts, private files, links, empty folders, long names and such in other letters.
make_tree() {
    local dir=$1 long
    long=$(printf 'long%.0s' {1..40})
    mkdir -p "$dir/bin" "$dir/empty" "$dir/conf/$long" "$dir/lib"
    printf '#!/bin/sh\necho hello\n' >"$dir/bin/start"
    printf 'port=8080\n' >"$dir/conf/app.properties"
    printf 'deep\n' >"$dir/conf/$long/file.txt"
    printf 'grüße\n' >"$dir/conf/größe.txt"
    head -c 300000 /dev/urandom >"$dir/lib/app.bin"
    : >"$dir/lib/nothing"
    ln -s ../lib/app.bin "$dir/bin/app"
    ln -s conf "$dir/settings"
    chmod 755 "$dir" "$dir/bin" "$dir/empty" "$dir/conf" "$dir/conf/$long" "$dir/lib" "$dir/bin/start"
    chmod 644 "$dir/conf/app.properties" "$dir/conf/$long/file.txt" "$dir/conf/größe.txt" "$dir/lib/nothing"
    chmod 600 "$dir/lib/app.bin"
}
