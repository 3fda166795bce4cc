#!/bin/sh
# Gives nginx and the registry, in the tree $1, a configuration for a user without a name and a read-only root.
set -eu
root=$1
here=$(dirname "$0")

install -D -m 0644 "$here/site.conf" "$root/etc/nginx/site.conf"
install -D -m 0644 "$here/plain.yml" "$root/etc/docker/registry/plain.yml"
install -d -m 0755 "$root/site"
