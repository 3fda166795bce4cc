#!/usr/bin/env bash
# Builds localhost/tomcat:dev, the application of the story, from Debian's packages: tomcat.sh DIR [docker|podman]...
# DIR keeps the root file system, so that the second engine need not build it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
# Another one as soon as something that goes into it is another.
inputs=$(cat "$0" "$here"/tomcat/* "$here"/ops-webapp/*.jsp "$here/ops-webapp/WEB-INF/web.xml" | sha256sum)
tree=$dir/tomcat-${inputs:0:12}.tar

# shellcheck source=debian.sh
. "$here/debian.sh"

if [ ! -e "$tree" ]; then
    rm -f "$dir"/tomcat-*
    debian_tree "$tree" tomcat10,openjdk-17-jre-headless --customize-hook="$here/tomcat/prepare.sh \"\$1\""
fi

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
