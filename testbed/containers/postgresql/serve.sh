#!/bin/bash
# A PostgreSQL server that takes nobody from elsewhere but in TLS, and that says at port 8008 whether it is the primary:
# serve.sh primary, or serve.sh standby PRIMARY. Its data are in /data, its certificate in /tls; PGPASSWORD is the password of the user app.
set -euo pipefail
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PATH PGDATA=/data/server

if [ "$1" = primary ]; then
    initdb --auth-local trust --auth-host scram-sha-256 --pwfile <(echo "$PGPASSWORD") --username app
    printf '%s\n' 'local all all trust' 'hostssl all all all scram-sha-256' 'hostssl replication all all scram-sha-256' >"$PGDATA/pg_hba.conf"
    cat >>"$PGDATA/postgresql.conf" <<END
listen_addresses = '*'
unix_socket_directories = '/tmp'
ssl = on
ssl_cert_file = '/tls/tls.crt'
ssl_key_file = '/tls/tls.key'
END
else
    until pg_basebackup --host "$2" --username app --pgdata "$PGDATA" --write-recovery-conf --checkpoint fast; do
        rm -rf "$PGDATA"
        sleep 1
    done
fi

python3 /usr/local/lib/primary.py 0.0.0.0 8008 /tmp 5432 &
postgres &
server=$!
# To stop at once, not when the last client has gone.
trap 'kill -INT "$server"' TERM
wait "$server" || wait "$server"
