#!/bin/sh
# No database is made while the package is installed in the tree $1.
set -eu
mkdir -p "$1/etc/postgresql-common"
echo 'create_main_cluster = false' >"$1/etc/postgresql-common/createcluster.conf"
