//! What an interrupted run left in a directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, statat};

use super::PREFIX;
use crate::beneath::{Root, remove_tree};
use crate::error::{At as _, Error};

/// A partial download that nobody went on with is kept for so long: a pod in back-off is tried again within minutes.
const PART_KEPT: Duration = Duration::from_secs(86_400);

/// Under the lock, any staged name is a leftover, and a partial download after a day.
pub(crate) fn sweep(root: &Root) -> Result<(), Error> {
    for entry in Dir::read_from(root).at("read the directory", root.path())? {
        let entry = entry.at("read the directory", root.path())?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_staged(name.as_bytes()) || (is_part(name.as_bytes()) && is_old(root, name)) {
            tracing::info!(name = %name.display(), "removing what an interrupted run left");
            if let Err(error) = remove_tree(root.as_fd(), name) {
                tracing::warn!(name = %name.display(), %error, "cannot remove it");
            }
        }
    }
    Ok(())
}

/// The names under which a download lies until it is complete: its bytes, and what is known of it.
pub(crate) fn part_names(key: &str) -> (OsString, OsString) {
    (
        format!("{PREFIX}part-{key}").into(),
        format!("{PREFIX}part-{key}.json").into(),
    )
}

fn is_part(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"part-"))
}

fn is_old(root: &Root, name: &OsStr) -> bool {
    let Ok(stat) = statat(root, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return false;
    };
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age > PART_KEPT)
}

/// Is it a name that staging gives: the prefix, eight hexadecimal digits, a number?
fn is_staged(name: &[u8]) -> bool {
    let Some((run, number)) = name
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.split_at_checked(8))
    else {
        return false;
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    run.iter().all(u8::is_ascii_hexdigit) && number.strip_prefix(b"-").is_some_and(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_staging_gives_are_swept() {
        for (name, swept) in [
            (".init-copy-0123abcd-0", true),
            (".init-copy-0123abcd-12345", true),
            (".init-copy-0123abcd-", false),
            (".init-copy-0123abcd", false),
            (".init-copy-0123abcx-0", false),
            (".init-copy-notes", false),
            (".init-copy.receipt", false),
            (".init-copy-part-0123", false),
        ] {
            assert_eq!(is_staged(name.as_bytes()), swept, "{name}");
        }
    }
}
