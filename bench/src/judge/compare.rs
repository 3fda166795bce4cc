//! Is a copy what it should be? Every name, kind and byte is looked at.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What has to be the same besides names, kinds and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    Content,
    /// Permissions, and modification times in whole seconds.
    Attributes,
}

/// The first difference found, or `None`; hidden files at the top of `found` that init-copy keeps its notes in are no difference.
pub(crate) fn difference(expected: &Path, found: &Path, likeness: Likeness) -> io::Result<Option<String>> {
    let (left, right) = (fs::symlink_metadata(expected)?, status(found)?);
    let Some(right) = right else {
        return Ok(Some(format!("{} is missing", found.display())));
    };
    if left.is_dir() && right.is_dir() {
        let (names, mut others) = (names(expected)?, names(found)?);
        others.retain(|name| !name.as_bytes().starts_with(b".init-copy"));
        if let Some(name) = others.difference(&names).next() {
            return Ok(Some(format!("{} should not be there", found.join(name).display())));
        }
        for name in names {
            let inner = difference(&expected.join(&name), &found.join(&name), likeness)?;
            if inner.is_some() {
                return Ok(inner);
            }
        }
    }
    let unlike = unlike(expected, &left, found, &right, likeness)?;
    Ok(unlike.map(|what| format!("{} has the wrong {what}", found.display())))
}

fn unlike(
    expected: &Path,
    left: &Metadata,
    found: &Path,
    right: &Metadata,
    likeness: Likeness,
) -> io::Result<Option<&'static str>> {
    if left.file_type() != right.file_type() {
        return Ok(Some("kind"));
    }
    if left.is_symlink() {
        let same = fs::read_link(expected)? == fs::read_link(found)?;
        return Ok((!same).then_some("link target"));
    }
    if left.is_file() && (left.len() != right.len() || !same_bytes(expected, found, left.len())?) {
        return Ok(Some("content"));
    }
    if likeness == Likeness::Attributes {
        if left.mode() != right.mode() {
            return Ok(Some("permissions"));
        }
        if left.mtime() != right.mtime() {
            return Ok(Some("modification time"));
        }
    }
    Ok(None)
}

fn status(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn names(dir: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn same_bytes(expected: &Path, found: &Path, length: u64) -> io::Result<bool> {
    const BLOCK: usize = 256 * 1024;
    let capacity = usize::try_from(length).map_or(BLOCK, |length| length.clamp(1, BLOCK));
    let mut left = BufReader::with_capacity(capacity, File::open(expected)?);
    let mut right = BufReader::with_capacity(capacity, File::open(found)?);
    loop {
        let (a, b) = (left.fill_buf()?, right.fill_buf()?);
        let count = a.len().min(b.len());
        if count == 0 || a[..count] != b[..count] {
            return Ok(a.is_empty() && b.is_empty());
        }
        left.consume(count);
        right.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// Two equal trees, one change by `change` to the second, and what is then found.
    fn after(likeness: Likeness, change: impl Fn(&Path)) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let roots = [dir.path().join("expected"), dir.path().join("found")];
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for root in &roots {
            fs::create_dir_all(root.join("inner")).unwrap();
            fs::write(root.join("inner/file"), vec![7; 300_000]).unwrap();
            symlink("file", root.join("inner/link")).unwrap();
            for path in ["inner/file", "inner", ""] {
                File::open(root.join(path)).unwrap().set_modified(time).unwrap();
            }
        }
        change(&roots[1]);
        difference(&roots[0], &roots[1], likeness).unwrap()
    }

    #[test]
    fn equal_trees_do_not_differ() {
        assert_eq!(after(Likeness::Attributes, |_| ()), None);
        assert_eq!(
            after(Likeness::Content, |root| fs::write(root.join(".init-copy.json"), "")
                .unwrap()),
            None
        );
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let last_byte = |root: &Path| {
            let mut content = vec![7; 300_000];
            content[299_999] = 8;
            fs::write(root.join("inner/file"), content).unwrap();
        };
        let other_link = |root: &Path| {
            fs::remove_file(root.join("inner/link")).unwrap();
            symlink("elsewhere", root.join("inner/link")).unwrap();
        };
        let content = |change: &dyn Fn(&Path)| after(Likeness::Content, change).unwrap_or_default();
        assert!(content(&last_byte).ends_with("inner/file has the wrong content"));
        assert!(content(&|root| fs::write(root.join("inner/file"), "short").unwrap()).contains("content"));
        assert!(content(&|root| fs::remove_file(root.join("inner/file")).unwrap()).ends_with("is missing"));
        assert!(content(&|root| fs::write(root.join("inner/more"), "").unwrap()).ends_with("should not be there"));
        assert!(content(&other_link).contains("link target"));
        assert!(content(&|root| fs::remove_dir_all(root).unwrap()).ends_with("is missing"));
    }

    #[test]
    fn attributes_count_only_where_they_are_asked_for() {
        let touched = |root: &Path| {
            let file = File::open(root.join("inner/file")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        assert_eq!(after(Likeness::Content, touched), None);
        assert!(after(Likeness::Attributes, touched).is_some_and(|text| text.contains("modification time")));
    }
}
