//! Makes room for the next run without a trace that would slow it down.
//!
//! ext4 does not give out an inode again within minutes of its deletion, and looks at each such inode whenever it searches for a free one
//! (`recently_deleted` in fs/ext4/ialloc.c, as of Linux 6.18). After a tree of 20,000 files was deleted, copying it took ten times the CPU, all
//! of it there. So on disk, nothing is deleted until everything has been measured: files are emptied, which gives back their blocks.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Takes away a target, which may be a file or a tree. On disk it stays beside its place under another name, empty.
pub(crate) fn away(target: &Path, on_disk: bool) -> io::Result<()> {
    if on_disk {
        empty(target)?;
        fs::rename(target, free_name(target))
    } else if target.is_dir() {
        fs::remove_dir_all(target)
    } else {
        fs::remove_file(target)
    }
}

/// Cuts every file of a tree, or one file, to nothing.
pub(crate) fn empty(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            empty(&entry?.path())?;
        }
    } else if kind.is_file() {
        OpenOptions::new().write(true).open(path)?.set_len(0)?;
    }
    Ok(())
}

fn free_name(target: &Path) -> PathBuf {
    let mut number = 0;
    loop {
        let name = target.with_extension(format!("old-{number}"));
        if !name.exists() {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn make(path: &Path) {
        fs::create_dir_all(path.join("inner")).unwrap();
        fs::write(path.join("inner/file"), "content").unwrap();
        symlink("inner/file", path.join("link")).unwrap();
    }

    #[test]
    fn on_disk_targets_are_emptied_and_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target-0");
        for round in 0..3 {
            make(&target);
            away(&target, true).unwrap();
            assert!(!target.exists());
            let aside = dir.path().join(format!("target-0.old-{round}/inner/file"));
            assert_eq!(fs::metadata(aside).unwrap().len(), 0);
        }
        fs::write(&target, "content").unwrap();
        away(&target, true).unwrap();
        assert!(!target.exists());
    }

    #[test]
    fn elsewhere_they_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let [file, tree] = ["file", "tree"].map(|name| dir.path().join(name));
        fs::write(&file, "").unwrap();
        make(&tree);
        away(&file, false).unwrap();
        away(&tree, false).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(away(&file, false).is_err());
    }
}
