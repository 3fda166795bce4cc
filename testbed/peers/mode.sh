# shellcheck shell=bash
# --mode and --dir-mode beside GNU chmod, under several umasks.

check_mode() {
    local umask change bits
    subject=mode
    mkdir -p "$work/mode"
    for umask in 000 022 027 077; do
        for change in 'u=rwX,g=rX,o=' 0640 7 u+x a-x go= a+rX +x -w =rw 'g=u' 'o=g-w' 'u=rwx,go=rX' 'ug+rw-x' 'a=X' 'g+X,o-rwx' '+rX,g+w'; do
            expect "$change with umask $umask is as by chmod" - modes_as_chmod "$umask" "$change"
        done
    done
    for change in u+s +t 4755 1777 rwx u~x; do
        expect "$change exits 2" - exits 2 init_copy --mode "$change" /etc/hostname "$work/mode/none/"
    done
    preserved
}

# modes_as_chmod UMASK CHANGE: of files and folders with all kinds of bits.
modes_as_chmod() {
    local dir bits
    dir=$(mktemp -d -p "$work/mode")
    mkdir "$dir/src"
    for bits in 400 444 600 640 644 666 700 711 750 755 777; do
        echo x >"$dir/src/file-$bits"
        mkdir "$dir/src/dir-$bits"
        chmod "$bits" "$dir/src/file-$bits" "$dir/src/dir-$bits"
    done
    cp -a "$dir/src" "$dir/wanted"
    (
        umask "$1"
        chmod -R -- "$2" "$dir/wanted"
        init_copy --mode="$2" --dir-mode="$2" "$dir/src/" "$dir/found/"
    )
    same_tree "$dir/wanted" "$dir/found"
}

preserved() {
    local dir=$work/mode/preserved
    make_tree "$dir/src"
    chmod 2775 "$dir/src/lib"
    chmod 1777 "$dir/src/empty"
    chmod 4755 "$dir/src/bin/start"
    cp -a "$dir/src" "$dir/wanted"
    (
        umask 077
        init_copy --preserve mode "$dir/src/" "$dir/found/"
    ) 2>"$dir/log"
    expect "--preserve mode, whatever the umask, special bits too" - same_tree "$dir/wanted" "$dir/found"
    expect "--owner, by root" - init_copy --owner 1234:5678 "$dir/src/" "$dir/owned/"
    expect "gives everything to them" - all_owned "$dir/owned"
}

all_owned() {
    [ -z "$(find "$1" -mindepth 1 ! -name '.init-copy*' ! \( -uid 1234 -gid 5678 \) | tee /dev/stderr)" ]
}
