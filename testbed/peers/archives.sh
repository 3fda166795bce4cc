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
        tar -I 'xz -9' -cf gnu.tar.xz tree
        tar -cjf gnu.tar.bz2 tree
        bsdtar --format=pax -cJf bsd.tar.xz tree
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
        split_xz
    )
    local name packed
    for name in tree.tar gnu.tar.gz posix.tar.gz gnu.tar.zst gnu.tar.xz gnu.tar.bz2 bsd.tar.xz streams.tar.xz bsd.tar.gz info.zip streamed.zip bsd.zip members.tar.gz; do
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
    legitimate
    packed_files
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

# The same with xz, with other checks, and padding behind.
split_xz() {
    head -c 100000 tree.tar | xz --check=crc32 >streams.tar.xz
    tail -c +100001 tree.tar | xz --check=sha256 >>streams.tar.xz
    head -c 8 /dev/zero >>streams.tar.xz
}

# Whatever a tool packs is one file, and bigger than a window.
packed_files() {
    local tool
    head -c 30000000 /dev/urandom >"$work/dump.sql"
    for tool in 'gzip -1' 'zstd -q --long=26' 'xz -0' 'xz -9e' 'bzip2 -1'; do
        rm -rf "$work/packed"
        mkdir "$work/packed"
        cp "$work/dump.sql" "$work/packed/"
        $tool "$work/packed/dump.sql"
        rm -f "$work/packed/dump.sql"
        expect "one file by $tool" - init_copy --unpack "$work/packed/"dump.sql.* "$work/packed/out/"
        expect "is the same" - cmp "$work/dump.sql" "$work/packed/out/dump.sql"
    done
    xz -0 --lzma2=dict=128MiB --stdout "$work/dump.sql" >"$work/packed/large.xz"
    expect "a window that is too large exits 18" - fails_with 18 'dictionary of more than 64 MiB' init_copy --unpack "$work/packed/large.xz" "$work/packed/out/"
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
    local name
    tar -C "$www" --format gnu --sparse -czf "$www/sparse-gnu.tar.gz" linked
    for name in 0.0 0.1 1.0; do
        tar -C "$www" --format posix --sparse --sparse-version "$name" -czf "$www/sparse-$name.tar.gz" linked
    done
    bsdtar -C "$www" --format pax -czf "$www/sparse-bsd.tar.gz" linked
    for name in gnu 0.0 0.1 1.0 bsd; do
        expect "a sparse file in a tar of $name" nginx init_copy --unpack "$web/sparse-$name.tar.gz" "$out/unpacked/sparse-$name/"
        expect "is whole" - same_tree "$dir" "$out/unpacked/sparse-$name/linked"
        expect "and has its hole" - test "$(stat --format %b "$out/unpacked/sparse-$name/linked/hole")" -le 2048
    done
}

# What real tools made and what was refused once: each is unpacked as tar and unzip do.
legitimate() {
    local dir=$www/legitimate
    mkdir -p "$dir/venv/bin"
    ln -s /usr/bin/python3 "$dir/venv/bin/python"
    touch "$dir/urn:isbn:1"
    tar -C "$www" -czf "$www/links.tar.gz" legitimate
    expect "an absolute link is refused, with what to do" nginx fails_with 18 '--links keep' init_copy --unpack "$web/links.tar.gz" "$out/none/"
    expect "and kept when told so" nginx init_copy --unpack --links keep "$web/links.tar.gz" "$out/unpacked/links/"
    expect "as it is" - same_tree "$dir" "$out/unpacked/links/legitimate"
    { gzip -c "$www/tree.tar" && head -c 10240 /dev/zero; } >"$www/padded.tar.gz"
    expect "gzip with padding behind it" nginx init_copy --unpack "$web/padded.tar.gz" "$out/unpacked/padded/"
    expect "is whole" - same_tree "$www/tree" "$out/unpacked/padded/tree"
    cp "$www/tree.tar" "$www/twice.tar"
    cp -a "$www/tree" "$www/changed"
    echo changed >"$www/changed/conf/app.properties"
    tar -C "$www" --transform 's|^changed|tree|' -rf "$www/twice.tar" changed/conf/app.properties
    expect "a tar that was appended to" nginx init_copy --unpack "$web/twice.tar" "$out/unpacked/twice/"
    expect "has what came last" - same_tree "$www/changed" "$out/unpacked/twice/tree"
    tar -cf "$www/nothing.tar" --files-from /dev/null
    expect "a tar of nothing" nginx init_copy --unpack "$web/nothing.tar" "$out/unpacked/nothing/"
    python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z: z.writestr("app\\bin\\run.cmd", "x")' "$www/windows.zip"
    expect "backslashes are refused" nginx exits 18 init_copy --unpack "$web/windows.zip" "$out/none/"
    expect "and separators when told so" nginx init_copy --unpack --accept backslashes "$web/windows.zip" "$out/unpacked/windows/"
    expect "as by unzip" - test -f "$out/unpacked/windows/app/bin/run.cmd"
}
