#!/bin/sh
# Gives Debian's Tomcat, in the tree $1, a CATALINA_BASE for a user without a name: /tomcat, of 1001:65532.
set -eu
root=$1
here=$(dirname "$0")
base=$root/tomcat

install -d -o 1001 -g 65532 -m 0750 "$base" "$base/webapps" "$base/logs" "$base/work" "$base/temp"
cp -R --dereference "$root/etc/tomcat10" "$base/conf"
install -D -m 0644 "$here/ROOT.xml" "$base/conf/Catalina/localhost/ROOT.xml"
cp -R "$here/../ops-webapp" "$root/opt/ops-webapp"

# A line is in the file when its request has been answered, not 8 KiB later.
sed -i 's/className="org.apache.catalina.valves.AccessLogValve"/& buffered="false"/' "$base/conf/server.xml"
grep -q 'AccessLogValve" buffered="false"' "$base/conf/server.xml"
chown -R 1001:65532 "$base/conf"
