//! Permission errors in the words of a pod spec: who this process is, whose the file is, and which lines help.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{getegid, geteuid, getgroups};

/// What stands between this process and `path`, and what to set so that it does not.
pub fn denied(path: &Path) -> String {
    let groups: Vec<_> = getgroups()
        .unwrap_or_default()
        .iter()
        .map(|g| g.as_raw().to_string())
        .collect();
    let me = format!(
        "this process is uid {} gid {} groups [{}]",
        geteuid().as_raw(),
        getegid().as_raw(),
        groups.join(" ")
    );
    // The nearest existing ancestor decides, when the path itself does not exist or cannot be looked at.
    let nearest = path
        .ancestors()
        .find_map(|p| fs::symlink_metadata(p).ok().map(|m| (p, m)));
    let Some((place, meta)) = nearest else { return me };
    let (uid, gid, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
    format!(
        "{me}, and {} belongs to uid {uid} gid {gid} with mode {mode:04o}; set fsGroup: {gid} in the pod's securityContext or runAsGroup: {gid} \
         for this container, and let its owner grant the group what is missing",
        place.display()
    )
}
