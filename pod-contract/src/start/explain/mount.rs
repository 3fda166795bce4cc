//! What a path is mounted from, as far as a container can tell: the kubelet gives some volumes to `fsGroup`, and never others.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`: <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    /// Which directory of the file system is mounted; `/` is all of it.
    root: PathBuf,
    point: PathBuf,
}

/// Where a path comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The image, or what the container itself wrote.
    Image,
    /// A volume that the kubelet made or has mounted.
    Volume,
    /// This path of the node's own disk, as it is: `hostPath`, or a bind mount of another engine.
    Node(PathBuf),
    /// This path of another disk: a `hostPath` there, or a part (`subPath`) of a claimed volume, which look alike.
    Disk(PathBuf),
}

/// Of the nearest mount at or above `path`.
pub(super) fn origin(path: &Path) -> Origin {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    find(&parse(&table), &path)
}

fn parse(table: &[u8]) -> Vec<Mount> {
    let lines = table.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ').skip(2);
            let device = String::from_utf8_lossy(fields.next()?).into_owned();
            let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
            Some(Mount { device, root, point })
        })
        .collect()
}

/// Blanks, tabs, line ends and backslashes are written in octal.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(*first);
        if let ([a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..], b'\\') = (rest, first) {
            bytes.pop();
            bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = tail;
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

fn find(mounts: &[Mount], path: &Path) -> Origin {
    // Of several mounts on one point the last one is seen.
    let nearest = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len());
    let Some(mount) = nearest else { return Origin::Image };
    let is_kubelets = || mount.root.to_string_lossy().contains("/volumes/kubernetes.io~");
    if mount.point == Path::new("/") {
        return Origin::Image;
    }
    if mount.root == Path::new("/") || is_kubelets() {
        return Origin::Volume;
    }
    // Kubernetes and the other engines mount this file from the node's own disk.
    let of_the_node = mounts.iter().find(|other| other.point == Path::new("/etc/hosts"));
    let below = path.strip_prefix(&mount.point).unwrap_or(Path::new(""));
    let there = mount.root.components().chain(below.components()).collect();
    if of_the_node.is_some_and(|hosts| hosts.device == mount.device) {
        Origin::Node(there)
    } else {
        Origin::Disk(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r"
100 90 0:50 / / ro,relatime - overlay overlay rw
101 100 254:0 /var/lib/kubelet/pods/7a/etc-hosts /etc/hosts rw - ext4 /dev/vda rw
102 100 254:0 /var/lib/kubelet/pods/7a/volumes/kubernetes.io~empty-dir/logs /logs rw - ext4 /dev/vda rw
103 100 254:0 /srv/war\040files /data rw - ext4 /dev/vda rw
104 103 8:16 / /data/disk rw - xfs /dev/sdb rw
105 100 8:16 /sub /claim rw - xfs /dev/sdb rw
106 100 0:60 / /memory rw - tmpfs tmpfs rw
107 106 254:0 /first /memory/twice rw - ext4 /dev/vda rw
108 107 0:61 / /memory/twice rw - tmpfs tmpfs rw";

    #[test]
    fn a_directory_of_the_node_is_told_from_a_volume() {
        let mounts = parse(TABLE.as_bytes());
        for (path, origin) in [
            ("/", Origin::Image),
            ("/init-copy", Origin::Image),
            ("/database", Origin::Image),
            ("/logs/access.log", Origin::Volume),
            ("/data", Origin::Node("/srv/war files".into())),
            ("/data/a/b", Origin::Node("/srv/war files/a/b".into())),
            ("/data/disk/a", Origin::Volume),
            ("/claim/a", Origin::Disk("/sub/a".into())),
            ("/memory", Origin::Volume),
            ("/memory/twice/x", Origin::Volume),
        ] {
            assert_eq!(find(&mounts, Path::new(path)), origin, "{path}");
        }
        assert_eq!(find(&[], Path::new("/x")), Origin::Image);
    }

    #[test]
    fn any_bytes_can_be_a_table() {
        for table in [
            "",
            "\n\n",
            "1 2 3",
            "1 2 3 4",
            "1 2 3:4 \\04 \\400\\",
            " \u{0} \u{fffd} ",
        ] {
            find(&parse(table.as_bytes()), Path::new("/x"));
        }
        assert_eq!(unescape(b"a\\134b\\040\\11"), PathBuf::from("a\\b \\11"));
    }
}
