//! One look at every directory that the patterns name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::names::Kind;
use super::patterns::Patterns;
use crate::identity::{Inode, Seen};

/// What a look at the directories found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Sorted by path, byte for byte: of thousands, to compare names of directories one by one takes its time.
    pub(crate) files: Vec<Found>,
    /// What could not be looked at. A directory that is not there yet is among them.
    pub(crate) failed: Vec<(PathBuf, io::Error)>,
    /// A name was gone before it could be looked at: its file may have another now, which this look has missed.
    pub(crate) has_missed: bool,
}

/// One file in a directory that was looked into, whether a pattern matches it or not: a rotated file is found again by its inode.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) inode: Inode,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written to last, nanoseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) kind: Kind,
}

impl Patterns {
    /// Every regular file below the bases, links to files followed.
    pub(crate) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        for base in self.bases() {
            self.scan_dir(&base.dir, base.depth, &mut scan);
        }
        scan.files
            .sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        scan.files.dedup_by(|a, b| a.path.as_os_str() == b.path.as_os_str());
        scan
    }

    fn scan_dir(&self, dir: &Path, depth: usize, scan: &mut Scan) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return scan.failed.push((dir.to_owned(), error)),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    scan.failed.push((dir.to_owned(), error));
                    continue;
                }
            };
            let path = entry.path();
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) => {
                    scan.failed.push((path, error));
                    continue;
                }
            };
            if kind.is_dir() && depth > 0 {
                self.scan_dir(&path, depth - 1, scan);
            } else if kind.is_file() || kind.is_symlink() {
                scan.look_at(path, kind.is_symlink(), self);
            }
        }
    }
}

impl Scan {
    /// What is there under this name.
    pub(crate) fn named(&self, path: &Path) -> Option<&Found> {
        let by_name = |found: &Found| found.path.as_os_str().cmp(path.as_os_str());
        let index = self.files.binary_search_by(by_name).ok()?;
        self.files.get(index)
    }

    fn look_at(&mut self, path: PathBuf, is_link: bool, patterns: &Patterns) {
        match Seen::at(&path) {
            Ok(Some(seen)) => self.files.push(Found {
                kind: patterns.kind(&path),
                path,
                inode: seen.inode,
                size: seen.size,
                modified: seen.modified,
            }),
            Ok(None) => {}
            // A link that leads nowhere is no file; anything else has been renamed or deleted in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.has_missed |= !is_link,
            Err(error) => self.failed.push((path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::patterns::tests::patterns;

    #[test]
    fn a_scan_finds_all_files_and_says_which_match() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        for name in ["a.log", "b.log", "a.log.1", "skip.log"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("deep")).unwrap();
        fs::write(dir.path().join("deep/c.log"), "").unwrap();
        let matched = |patterns: Patterns| -> Vec<String> {
            let found = patterns.scan().files.into_iter().filter(|f| f.kind == Kind::Matched);
            found
                .map(|f| f.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        let flat = patterns(&[&format!("{root}/*.log")], &[&format!("{root}/skip*")]);
        assert_eq!(flat.scan().files.len(), 4, "siblings are seen too");
        assert_eq!(matched(flat), ["a.log", "b.log"]);
        assert_eq!(matched(patterns(&[&format!("{root}/**/*.log")], &[])).len(), 4);
        let scan = patterns(&["/nonexistent/*.log"], &[]).scan();
        assert!(scan.files.is_empty() && scan.failed[0].1.kind() == io::ErrorKind::NotFound);
    }
    #[test]
    fn a_name_that_is_gone_before_it_is_looked_at_is_noticed() {
        let (dir, patterns) = (tempfile::tempdir().unwrap(), patterns(&["/logs/*.log"], &[]));
        let mut scan = Scan::default();
        scan.look_at(dir.path().join("dangling.log"), true, &patterns);
        assert!(!scan.has_missed);
        scan.look_at(dir.path().join("renamed.log"), false, &patterns);
        assert!(scan.has_missed && scan.files.is_empty() && scan.failed.is_empty());
    }
}
