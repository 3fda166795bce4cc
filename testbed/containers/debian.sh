# shellcheck shell=bash
# Root file systems from Debian's packages.

# The Debian mirrors this machine is set up with, and nothing else it has in its sources.
sources() {
    # shellcheck disable=SC2016  # the fields are apt's
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 'Origin: Debian' | sort -u
}

# keep_tree STEM INPUTS PACKAGES [OPTION...]: the one in `tree`, beside STEM; another one as soon as the sum INPUTS, of what goes into it, is another.
keep_tree() {
    local stem=$1 inputs=$2
    shift 2
    tree=$stem-${inputs:0:12}.tar
    if [ ! -e "$tree" ]; then
        rm -f "$stem"-*
        debian_tree "$tree" "$@"
    fi
}

# debian_tree TAR PACKAGES [OPTION...]: by mmdebstrap, of this machine's own release.
debian_tree() {
    local tree=$1 packages=$2 release
    shift 2
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    sources | mmdebstrap --quiet --format=tar --variant=minbase --include="$packages" "$@" "$release" "$tree.part" -
    mv "$tree.part" "$tree"
}
