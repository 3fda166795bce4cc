//! Permission errors in the words of a pod spec: who this process is, whose the file is, and which lines help.

mod mount;

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxAttributes, StatxFlags, statfs, statvfs, statx};
use rustix::process::{getegid, geteuid, getgroups};

use self::mount::{Origin, origin};

/// What stands between this process and `path`, and what to set so that it does not.
pub fn denied(path: &Path) -> String {
    let me = Me::find();
    // The nearest existing ancestor decides, when the path itself does not exist or cannot be looked at.
    match path.ancestors().find_map(Place::find) {
        Some(place) => format!("{me}, and {place}; {}", advice(&me, &place)),
        None => me.to_string(),
    }
}

/// Who this process is.
#[derive(Debug, Clone)]
struct Me {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Me {
    fn find() -> Self {
        Self {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            groups: getgroups().unwrap_or_default().iter().map(|g| g.as_raw()).collect(),
        }
    }

    fn has_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

impl fmt::Display for Me {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.groups.iter().map(ToString::to_string).collect();
        write!(
            f,
            "this process is uid {} gid {} groups [{}]",
            self.uid,
            self.gid,
            groups.join(" ")
        )
    }
}

/// What is in the way.
#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    uid: u32,
    gid: u32,
    mode: u32,
    kind: &'static str,
    file_system: &'static str,
    origin: Origin,
    read_only: bool,
    /// Immutable or append-only, which no permission bit shows.
    locked: bool,
}

impl Place {
    fn find(path: &Path) -> Option<Self> {
        let meta = fs::symlink_metadata(path).ok()?;
        let attributes =
            statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).map(|found| found.stx_attributes);
        let locked = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        Some(Self {
            path: path.to_owned(),
            uid: meta.uid(),
            gid: meta.gid(),
            mode: meta.mode() & 0o7777,
            kind: match meta.file_type() {
                kind if kind.is_dir() => "directory",
                kind if kind.is_symlink() => "link",
                kind if kind.is_socket() => "socket",
                _ => "file",
            },
            file_system: statfs(path).map_or("an unknown file system", |found| file_system(i128::from(found.f_type))),
            origin: origin(path),
            read_only: statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY)),
            locked: attributes.is_ok_and(|found| found.intersects(locked)),
        })
    }

    fn is_sticky(&self) -> bool {
        self.mode & 0o1000 != 0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} {} belongs to uid {} gid {} with mode {:04o} on {}{}",
            self.kind,
            self.path.display(),
            self.uid,
            self.gid,
            self.mode,
            self.file_system,
            if self.read_only { ", mounted read-only" } else { "" }
        )
    }
}

/// The name behind a magic number of `statfs(2)`.
fn file_system(magic: i128) -> &'static str {
    match magic {
        0x0102_1994 => "tmpfs",
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x6969 => "nfs",
        0x794c_7630 => "overlayfs",
        0x6573_5546 => "fuse",
        0x01021997 => "9p",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        _ => "another file system",
    }
}

/// What to change, with the lines of the pod spec.
fn advice(me: &Me, place: &Place) -> String {
    if place.locked {
        return "it is immutable or append-only (lsattr shows it), which no pod spec changes: chattr -i -a, by its owner".into();
    }
    if place.is_sticky() && place.uid != me.uid {
        return format!(
            "in a directory with the sticky bit only the owner of a file may replace it; let the container that wrote it and this one run as the same user:\n  \
             securityContext: {{runAsUser: {}}}",
            me.uid
        );
    }
    let has_group = me.has_group(place.gid);
    if place.uid == me.uid || (has_group && place.origin == Origin::Image) {
        let who = if place.uid == me.uid { "owner" } else { "group" };
        return format!(
            "its {who} lacks a permission bit: chmod it where it is made (COPY --chmod, defaultMode), or choose another directory"
        );
    }
    if place.origin == Origin::Image {
        return format!(
            "it is of the image or of the container's own root; mount a volume there to write to it, or run in its group and let that group have what is missing:\n  \
             securityContext: {{runAsGroup: {}}}   # of this container",
            place.gid
        );
    }
    if let Origin::Node(there) = &place.origin {
        return format!(
            "it is a path of the node, which no setting of the pod changes (hostPath); on the node:\n  {}",
            on_the_node(me, place, there)
        );
    }
    if matches!(place.file_system, "nfs" | "cifs" | "9p" | "fuse") {
        return format!(
            "fsGroup does not change such a volume; run as its owner or in its group:\n  securityContext: {{runAsUser: {}, runAsGroup: {}}}",
            place.uid, place.gid
        );
    }
    let (why, group) = match place.gid {
        gid if has_group => ("its group lacks a permission bit; ", gid),
        0 => ("", me.gid.max(1)),
        gid => ("", gid),
    };
    let by_kubelet = format!(
        "let the kubelet give the volume to a group that every container of the pod has:\n  securityContext: {{fsGroup: {group}}}   # of the pod"
    );
    match &place.origin {
        Origin::Disk(there) => format!(
            "{why}if it is claimed, {by_kubelet}\nif it is a hostPath, on the node:\n  {}",
            on_the_node(me, place, there)
        ),
        _ => format!("{why}{by_kubelet}"),
    }
}

/// For a shell there: this process's group gets what it may lack.
fn on_the_node(me: &Me, place: &Place, there: &Path) -> String {
    let mode = if place.kind == "directory" { "g+rwxs" } else { "g+rw" };
    let path = format!("'{}'", there.display().to_string().replace('\'', r"'\''"));
    format!("chgrp {} {path} && chmod {mode} {path}", me.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uid: u32, gid: u32, mode: u32, file_system: &'static str) -> Place {
        Place {
            path: "/data".into(),
            uid,
            gid,
            mode,
            kind: "directory",
            file_system,
            origin: Origin::Volume,
            read_only: false,
            locked: false,
        }
    }

    fn from(origin: Origin, place: Place) -> Place {
        Place { origin, ..place }
    }

    fn assert_advice(place: &Place, words: &str) {
        let me = Me {
            uid: 65_532,
            gid: 65_532,
            groups: vec![2000],
        };
        let told = advice(&me, place);
        assert!(told.contains(words), "{words:?} is not in {told:?}");
        let helps = matches!(place.origin, Origin::Volume | Origin::Disk(_)) && place.file_system != "nfs";
        assert!(
            helps || !told.contains("{fsGroup"),
            "fsGroup does nothing there: {told:?}"
        );
    }

    #[test]
    fn the_advice_fits_the_reason() {
        let read_only = Place {
            read_only: true,
            ..place(0, 1500, 0o750, "ext4")
        };
        let locked = Place {
            locked: true,
            ..place(0, 0, 0o644, "ext4")
        };
        for (place, words) in [
            (place(0, 0, 0o755, "ext4"), "fsGroup: 65532}"),
            (place(0, 1500, 0o775, "ext4"), "fsGroup: 1500}"),
            (place(0, 2000, 0o755, "xfs"), "its group lacks a permission bit"),
            (place(65_532, 0, 0o500, "tmpfs"), "its owner lacks"),
            (place(1000, 1000, 0o1777, "tmpfs"), "sticky"),
            (place(1000, 1001, 0o755, "nfs"), "runAsUser: 1000, runAsGroup: 1001}"),
            // What may not be read is not to be had by a mount that may be written to.
            (read_only, "fsGroup: 1500}"),
            (locked, "chattr"),
        ] {
            assert_advice(&place, words);
        }
    }

    #[test]
    fn the_advice_fits_where_it_comes_from() {
        let node = |path: &str| Origin::Node(path.into());
        let file = Place {
            kind: "file",
            ..place(0, 0, 0o600, "ext4")
        };
        for (place, words) in [
            (
                from(Origin::Image, place(0, 1500, 0o775, "overlayfs")),
                "runAsGroup: 1500}",
            ),
            (
                from(Origin::Image, place(0, 2000, 0o600, "overlayfs")),
                "its group lacks a permission bit: chmod",
            ),
            (
                from(node("/srv/data"), place(0, 0, 0o755, "ext4")),
                "chgrp 65532 '/srv/data' && chmod g+rwxs '/srv/data'",
            ),
            (
                from(node("/srv/the app's"), file),
                r"chgrp 65532 '/srv/the app'\''s' && chmod g+rw '/srv/the app'\''s'",
            ),
            (
                from(Origin::Disk("/sub".into()), place(0, 0, 0o755, "xfs")),
                "chgrp 65532 '/sub'",
            ),
        ] {
            assert_advice(&place, words);
        }
    }

    #[test]
    fn both_sides_are_named() {
        let told = denied(Path::new("/proc/1/no-such-name"));
        assert!(
            told.starts_with("this process is uid ") && told.contains("/proc"),
            "{told}"
        );
    }
}
