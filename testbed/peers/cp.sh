# shellcheck shell=bash
# `init-copy cp` beside GNU cp: what an image that called `cp` gets when it is moved over.

check_cp() {
    subject=cp
    ln -s init-copy "$work/cp"
    local user
    for user in root nobody; do
        cases=$work/cases-$user
        mkdir -p "$cases"
        make_source "$cases/src"
        [ "$user" = root ] || chown -R --no-dereference "$user:" "$cases"
        subject="cp as $user"
        as_gnu_does "$user"
    done
    subject=cp
    generated
    a_second_time
    what_cp_refuses
    subject="ConfigMap"
    as_the_kubelet_mounts
}

make_source() {
    local dir=$1
    make_tree "$dir/tree"
    cd "$dir"
    ln tree/conf/app.properties tree/conf/again.properties
    truncate --size 4M tree/lib/sparse.img
    printf middle | dd of=tree/lib/sparse.img bs=1 seek=2000000 conv=notrunc status=none
    ln -s nowhere tree/dangling
    ln -s /etc/hostname tree/absolute
    mkdir tree/closed
    echo secret >tree/closed/key
    chmod 0440 tree/closed/key
    chmod 0550 tree/closed
    setfattr --name user.origin --value build tree/conf/app.properties
    echo file >one.txt
    echo other >two.txt
    ln -s one.txt link.txt
    find . -depth ! -type l -exec touch --date '2001-02-03 04:05:06.789' {} +
    touch --no-dereference --date '2002-03-04 05:06:07' link.txt tree/dangling
    cd "$OLDPWD"
}

# as USER COMMAND...
as() {
    local user=$1
    shift
    if [ "$user" = root ]; then "$@"; else setpriv --reuid "$user" --regid "$(id --group "$user")" --clear-groups "$@"; fi
}

# The same call to both; DEST is in a folder of its own, prepared in the same way.
as_gnu_does() {
    local user=$1
    compare "$user" "-a of a tree to a new name" -a tree @/copy
    compare "$user" "-a of a tree into a folder" -a tree @/there/
    compare "$user" "-a of a tree into a folder without a slash" -a tree @/there
    compare "$user" "-a of contents (SRC/.)" -a tree/. @/there
    compare "$user" "-a of contents to a new name" -a tree/. @/copy
    compare "$user" "-r of a tree" -r tree/conf @/copy
    compare "$user" "-R of several into a folder" -R tree/conf tree/bin one.txt @/there/
    compare "$user" "-rp" -rp tree/conf @/copy
    compare "$user" "a file to a new name" one.txt @/copy.txt
    compare "$user" "a file into a folder" one.txt @/there
    compare "$user" "a file over a file" one.txt @/there/old.txt
    compare "$user" "-p of a file" -p one.txt @/copy.txt
    compare "$user" "-t" -t @/there one.txt two.txt
    compare "$user" "--target-directory" -a --target-directory=@/there tree two.txt
    compare "$user" "-aT over a folder" -aT tree @/there
    compare "$user" "-T to a new name" -rT tree/conf @/copy
    compare "$user" "-a of a link" -a link.txt @/there/
    compare "$user" "a link, followed" link.txt @/there/
    compare "$user" "-afv --reflink=auto --sparse=always" -afv --reflink=auto --sparse=always tree @/copy
    compare "$user" "-a --preserve=all" -a --preserve=all tree @/copy
}

# Trees by chance, and every way to copy them: a new name, into a folder, over what is there, by root and by nobody.
generated() {
    local user seed flags source dest
    for user in root nobody; do
        subject="cp of trees by chance as $user"
        for seed in 1 2 3 4 5 6; do
            cases=$work/chance-$user-$seed
            as "$user" true
            python3 "$here/trees.py" "$cases/src" "$seed"
            mkdir "$cases/src/tree/of-seed-$seed" 2>/dev/null || true
            [ "$user" = root ] || chown -R --no-dereference "$user:" "$cases"
            number_of[$user]=0
            for flags in -a -r -rp -rP -rd -aT -rTn -aun '-r --preserve=timestamps' '-r --preserve=links' -ax; do
                for source in tree link-to-tree tree/. 'tree other' 'file tree'; do
                    for dest in @/new @/there; do
                        # Into what is no folder, and several with -T, both refuse.
                        case "$flags,$source,$dest" in
                        *T*,*' '*,* | *,*' '*,@/new) continue ;;
                        esac
                        # shellcheck disable=SC2086  # several words
                        once "$user" $flags $source "$dest"
                    done
                done
            done
        done
    done
}

# once USER ARGUMENT...: by both; where GNU cp succeeds, so do we, with the same result, and where it fails we do, with none.
once() {
    local user=$1 number code=0
    shift
    number=$((${number_of[$user]:-0} + 1))
    number_of[$user]=$number
    local gnu=$cases/gnu-$number ours=$cases/ours-$number where
    for where in "$gnu" "$ours"; do
        as "$user" mkdir -p "$where/there/tree"
        as "$user" sh -c "echo old >'$where/there/tree/a old file'"
        as "$user" touch --date '2001-02-03 04:05:06.789' "$where/there/tree/a old file" "$where/there/tree" "$where/there"
    done
    (cd "$cases/src" && as "$user" cp "${@//@/$gnu}" >/dev/null 2>&1) || code=1
    if [ "$code" -eq 0 ]; then
        expect "cp $* (seed $seed)" - copies "$user" "$binary" cp "${@//@/$ours}"
        expect "cp $* (seed $seed) is as by GNU" - same_copy "$gnu" "$ours" "$@"
    else
        expect "cp $* (seed $seed) fails too" - fails copies "$user" "$binary" cp "${@//@/$ours}"
    fi
    chmod -R u+rwX "$gnu" "$ours"
    rm -rf "$gnu" "$ours"
}

fails() {
    if "$@"; then return 1; fi
}

# compare USER TEXT ARGUMENT...: @ stands for where it goes.
compare() {
    local user=$1 text=$2 number
    shift 2
    number=$((${number_of[$user]:-0} + 1))
    number_of[$user]=$number
    local gnu=$cases/gnu-$number ours=$cases/ours-$number linked=$cases/linked-$number where
    for where in "$gnu" "$ours" "$linked"; do
        as "$user" mkdir -p "$where/there"
        as "$user" sh -c "echo old >'$where/there/old.txt'"
        as "$user" touch --date '2001-02-03 04:05:06.789' "$where/there/old.txt" "$where/there"
    done
    (cd "$cases/src" && as "$user" cp "${@//@/$gnu}" >/dev/null)
    expect "cp $text" - copies "$user" "$binary" cp "${@//@/$ours}"
    expect "cp $text is as by GNU" - same_copy "$gnu" "$ours" "$@"
    expect "cp $text, called cp" - copies "$user" "$work/cp" "${@//@/$linked}"
    expect "cp $text, called cp, is as by GNU" - same_copy "$gnu" "$linked" "$@"
}
declare -A number_of

copies() {
    local user=$1
    shift
    cd "$cases/src"
    as "$user" "$@"
}

# same_copy WANTED FOUND ARGUMENT...: rsync names what differs, in content, mode, owner, links, holes aside; times where cp keeps them.
same_copy() {
    local wanted=$1 found=$2 options=(--recursive --links --perms --owner --group --hard-links --xattrs --checksum) differing
    shift 2
    case " $* " in
    *' -a'* | *' -rp '* | *' -p '*) options+=(--times) ;;
    esac
    # The destination itself is never changed by us, and by GNU cp when contents are copied into it.
    differing=$(rsync "${options[@]}" --omit-link-times --dry-run --itemize-changes --delete --exclude '.init-copy*' "$wanted/" "$found/" |
        grep -v -x -e '\.d\.\.[.tpog]* \./' -e '\.d\.\.[.tpog]* there/' || true)
    if [ -n "$differing" ]; then
        echo "$differing"
        return 1
    fi
    holes "$wanted" "$found"
}

# What had holes has them again.
holes() {
    local file
    (cd "$1" && find . -name sparse.img) | while read -r file; do
        echo "$file takes $(stat --format %b "$2/$file") blocks, and $(stat --format %b "$1/$file") by GNU"
        [ "$(stat --format %b "$2/$file")" -le "$(($(stat --format %b "$1/$file") + 64))" ] || exit 1
    done
}

# Like GNU cp, again and again; with a receipt, which it leaves only when asked, there is nothing to do.
a_second_time() {
    cases=$work/cases-root
    expect "a second cp -a" - copies root "$binary" cp -a tree/. "$cases/ours-4/there"
    expect "leaves no receipt" - test ! -e "$cases/ours-4/there/.init-copy.receipt"
    expect "a cp -a with a receipt" - copies root "$binary" cp -a "--receipt=$work/receipt" tree/. "$cases/receipt"
    expect "and again has nothing to do" - nothing_to_do copies root "$binary" cp -a "--receipt=$work/receipt" tree/. "$cases/receipt"
    echo changed >"$cases/src/tree/conf/app.properties"
    (cd "$cases/src" && cp -a tree/. "$cases/gnu-4/there")
    expect "a third one after a change" - copies root "$binary" cp -a tree/. "$cases/ours-4/there"
    expect "is as by GNU" - same_copy "$cases/gnu-4" "$cases/ours-4" -a
}

what_cp_refuses() {
    expect "a folder without -r exits 2" - exits 2 copies root "$binary" cp tree "$cases/none"
    expect "-L of a link that leads nowhere exits 10" - exits 10 copies root "$binary" cp -rL tree "$cases/none"
    expect "a source that is not there exits 10" - exits 10 copies root "$binary" cp -a none "$cases/none"
    expect "a folder into itself exits 16" - exits 16 copies root "$binary" cp -a tree tree/bin/
    expect "several to what is no folder exits 16" - exits 16 copies root "$binary" cp one.txt two.txt "$cases/src/one.txt"
    expect "nothing has come of these" - test ! -e "$cases/none"
    echo private >"$cases/private"
    chmod 600 "$cases/private"
    mkdir -m 755 "$cases/closed"
    chown root: "$cases/private" "$cases/closed"
    expect "a file that one may not read exits 15" - exits 15 copies nobody "$binary" cp "$cases/private" "$work/cases-nobody/private"
    expect "a folder that one may not write to exits 15" - exits 15 copies nobody "$binary" cp one.txt "$cases/closed/"
}

# Files that are links into a hidden folder, which is exchanged as a whole when the ConfigMap changes.
as_the_kubelet_mounts() {
    local dir=$work/configmap out=$work/configmap-out
    mkdir -p "$dir/..1"
    # shellcheck disable=SC2016  # init-copy puts it in
    echo 'greeting=${GREETING}' >"$dir/..1/app.properties"
    ln -s ..1 "$dir/..data"
    ln -s ..data/app.properties "$dir/app.properties"
    local run=(env GREETING=hello "$binary" --substitute '*.properties' "$dir/*" "$out/")
    expect "its files, by a pattern, with a variable" - "${run[@]}"
    expect "are files, and have it" - grep -x greeting=hello "$out/app.properties"
    expect "not links" - test ! -L "$out/app.properties"
    expect "and nothing hidden comes along" - same_names "$out" app.properties
    expect "a second run has nothing to do" - nothing_to_do "${run[@]}"
    mkdir "$dir/..2"
    # shellcheck disable=SC2016
    echo 'farewell=${GREETING}' >"$dir/..2/app.properties"
    ln -s ..2 "$dir/..data_tmp"
    mv -T "$dir/..data_tmp" "$dir/..data"
    expect "a change of it" - "${run[@]}"
    expect "is taken up" - grep -x farewell=hello "$out/app.properties"
    expect "a change of the variable" - env GREETING=bye "$binary" --substitute '*.properties' "$dir/*" "$out/"
    expect "is taken up, too" - grep -x farewell=bye "$out/app.properties"
    expect "a variable that is not set is named: exit 10" - fails_with 10 'GREETING is not set' "$binary" --substitute '*.properties' "$dir/*" "$out/"
}

# same_names DIR NAME...: besides the receipt.
same_names() {
    local dir=$1
    shift
    diff <(printf '%s\n' "$@" | sort) <(find "$dir" -mindepth 1 ! -name '.init-copy*' -printf '%P\n' | sort)
}
