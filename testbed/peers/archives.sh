# shellcheck shell=bash
# Archives by the tools that people make them with, fetched from nginx and unpacked.

check_archives() {
    subject=unpack
    local tree=$www/tree
    make_tree "$tree"
    (
        cd "$www"
        tar -cf tree.tar tree
        tar -czf gnu.tar.gz tree
        tar --format=posix -czf posix.tar.gz tree
        tar --format=gnu -I 'zstd -q' -cf gnu.tar.zst tree
        bsdtar --format=pax -czf bsd.tar.gz tree
        bsdtar --format=cpio -cf tree.cpio tree
        zip --quiet --recurse-paths --symlinks info.zip tree
        (cd tree && zip --quiet --recurse-paths --symlinks --no-dir-entries -9 ../no-dirs.zip .)
        # To a pipe: sizes come behind the members. Without links, which zip 3.0-13 cannot write to a pipe.
        mkdir streamed
        cp --archive --dereference tree streamed/
        (cd streamed && zip --quiet --recurse-paths - tree | cat >../streamed.zip)
        bsdtar --format=zip -cf bsd.zip tree
        split_gzip
    )
    local name packed
    for name in tree.tar gnu.tar.gz posix.tar.gz gnu.tar.zst bsd.tar.gz info.zip streamed.zip bsd.zip members.tar.gz; do
        expect "$name" nginx init_copy --unpack "$web/$name" "$out/unpacked/$name/"
        case $name in streamed.zip) packed=$www/streamed/tree ;; *) packed=$tree ;; esac
        expect "$name has its files, links, empty folders and modes" - same_tree "$packed" "$out/unpacked/$name/tree"
        expect "a second run for $name has nothing to do" nginx nothing_to_do init_copy --unpack "$web/$name" "$out/unpacked/$name/"
    done
    expect "--strip-components" nginx init_copy --unpack --strip-components 1 "$web/gnu.tar.gz" "$out/unpacked/stripped/"
    expect "drops the leading folder" - same_tree "$tree" "$out/unpacked/stripped"
    expect "a zip without folders" nginx init_copy --unpack "$web/no-dirs.zip" "$out/unpacked/no-dirs/"
    rmdir "$tree/empty"
    expect "has its files and links" - same_tree "$tree" "$out/unpacked/no-dirs"
    mkdir "$tree/empty"
    java_archives
    hard_links_and_holes
    expect "a format that is not known exits 18" nginx exits 18 init_copy --unpack "$web/tree.cpio" "$out/none/"
    head -c 100000 "$www/gnu.tar.gz" >"$www/cut.tar.gz"
    head -c 100000 "$www/info.zip" >"$www/cut.zip"
    for name in cut.tar.gz cut.zip; do
        expect "half an archive exits 18: $name" nginx exits 18 init_copy --unpack "$web/$name" "$out/none/"
    done
    (cd "$www" && tar -czPf evil.tar.gz --transform 's|tree/bin/start|../../outside|' tree/bin/start)
    expect "a member that leads outside exits 18" nginx exits 18 init_copy --unpack "$web/evil.tar.gz" "$out/none/"
    expect "nothing of it is there" - test ! -e "$work/outside" -a ! -e "$out/outside"
    expect "an archive from a path" - init_copy --unpack "$www/gnu.tar.zst" "$out/unpacked/path/"
    expect "has the same tree" - same_tree "$tree" "$out/unpacked/path/tree"
}

# gzip allows several members one after the other; pigz and concatenation make them.
split_gzip() {
    head -c 100000 tree.tar | gzip >members.tar.gz
    tail -c +100001 tree.tar | gzip >>members.tar.gz
}

# A WAR by the JDK, if it is here; else what one is, by zip.
java_archives() {
    if command -v jar >/dev/null; then
        (cd "$www/tree" && find . -type f -exec jar --create --file ../app.war {} +)
    else
        echo "     no jar on this machine: app.war is made by zip"
        (cd "$www/tree" && zip --quiet --recurse-paths ../app.war .)
    fi
    mkdir -p "$work/unzipped"
    # Not by unzip, which takes the JDK's names in UTF-8 for another code page.
    quietly bsdtar -C "$work/unzipped" -xf "$www/app.war"
    expect "a WAR" nginx init_copy --unpack --prune "$web/app.war" "$out/unpacked/ROOT/"
    expect "is what bsdtar makes of it" - same_content "$work/unzipped" "$out/unpacked/ROOT"
}

hard_links_and_holes() {
    local dir=$www/linked
    mkdir -p "$dir"
    echo shared >"$dir/a"
    ln "$dir/a" "$dir/b"
    truncate --size 5M "$dir/hole"
    printf end >>"$dir/hole"
    tar -C "$www" -czf "$www/linked.tar.gz" linked
    expect "hard links in a tar" nginx init_copy --unpack "$web/linked.tar.gz" "$out/unpacked/linked/"
    expect "have their content" - same_tree "$dir" "$out/unpacked/linked/linked"
    expect "and are links of one file" - test "$out/unpacked/linked/linked/a" -ef "$out/unpacked/linked/linked/b"
    local format
    for format in gnu posix; do
        tar -C "$www" --format "$format" --sparse -czf "$www/sparse-$format.tar.gz" linked
        expect "a sparse file in a tar of $format is unpacked or refused, never wrong" nginx right_or_refused "sparse-$format.tar.gz"
    done
}

right_or_refused() {
    local code=0
    init_copy --unpack "$web/$1" "$out/unpacked/$1/" || code=$?
    echo "exit code $code"
    case $code in
    0) same_tree "$www/linked" "$out/unpacked/$1/linked" ;;
    18) test ! -e "$out/unpacked/$1/linked" ;;
    *) false ;;
    esac
}
