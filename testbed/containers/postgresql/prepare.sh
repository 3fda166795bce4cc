#!/bin/sh
# Gives the server, in the tree $1, what starts it, and its user a name, without which it makes no database.
set -eu
root=$1
here=$(dirname "$0")

install -D -m 0755 "$here/serve.sh" "$root/usr/local/bin/serve.sh"
install -D -m 0644 "$here/../../shell/primary.py" "$root/usr/local/lib/primary.py"
install -d -m 0755 -o 65532 -g 65532 "$root/data"
echo 'app:x:65532:65532::/tmp:/bin/sh' >>"$root/etc/passwd"
