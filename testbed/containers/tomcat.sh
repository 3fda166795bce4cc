#!/usr/bin/env bash
# Builds localhost/tomcat:dev, the application of the story, from Debian's packages: tomcat.sh DIR [docker|podman]...
# DIR keeps the root file system, so that the second engine need not build it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
inputs=$(cat "$0" "$here"/tomcat/* "$here"/ops-webapp/*.jsp "$here/ops-webapp/WEB-INF/web.xml" | sha256sum)

# shellcheck source=debian.sh
. "$here/debian.sh"

keep_tree "$dir/tomcat" "$inputs" tomcat10,openjdk-17-jre-headless --customize-hook="$here/tomcat/prepare.sh \"\$1\""

for engine in "$@"; do
    "$engine" import \
        --change 'ENV CATALINA_HOME=/usr/share/tomcat10' \
        --change 'ENV CATALINA_BASE=/tomcat' \
        --change 'ENV CATALINA_OPTS=-Xmx160m' \
        --change 'USER 1001:65532' \
        --change 'EXPOSE 8080' \
        --change 'CMD ["/usr/share/tomcat10/bin/catalina.sh", "run"]' \
        "$tree" localhost/tomcat:dev >/dev/null
done
