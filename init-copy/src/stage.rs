//! The whole content beside its final place, complete and durable, before any of it gets a name.
//!
//! Staged files are hidden files of the destination directory itself: the same file system, so that publishing is a rename, and no
//! directory that an application server would take for an application.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir as ReadDir, Mode, OFlags, fdatasync, fstatvfs, openat, symlinkat, syncfs, unlinkat};
use rustix::path::Arg;

use crate::beneath::Root;
use crate::copy;
use crate::error::{At as _, Error};
use crate::fingerprint::Fingerprint;
use crate::plan::{Entry, Kind};

pub(crate) const PREFIX: &str = ".init-copy-";
/// Up to here each file is synced by itself; above, one sync of the file system costs less than thousands of barriers.
const SYNC_EACH: usize = 64;

/// Staged content; what is not published is removed on drop.
pub(crate) struct Staging<'a> {
    pub(crate) root: &'a Root,
    pub(crate) items: Vec<(&'a Entry, Option<PathBuf>)>,
    bytes: u64,
}

impl<'a> Staging<'a> {
    /// Sweeps what a crashed run left, then copies `todo`.
    pub(crate) fn fill(root: &'a Root, todo: &[&'a Entry]) -> Result<Self, Error> {
        sweep(root)?;
        refuse_too_large(root, todo)?;
        let mut staging = Self {
            root,
            items: Vec::with_capacity(todo.len()),
            bytes: 0,
        };
        let run = fastrand::u32(..);
        let each = todo.len() <= SYNC_EACH;
        for (number, &entry) in todo.iter().enumerate() {
            let temp = PathBuf::from(format!("{PREFIX}{run:08x}-{number}"));
            staging.item(entry, temp, each)?;
        }
        if !each {
            syncfs(root).at("sync", root.path())?;
        }
        Ok(staging)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn item(&mut self, entry: &'a Entry, temp: PathBuf, sync: bool) -> Result<(), Error> {
        let shown = self.root.path().join(&entry.target);
        match entry.kind {
            Kind::Dir => {
                self.items.push((entry, None));
                Ok(())
            }
            Kind::Link => {
                let to = std::fs::read_link(&entry.origin).at("read the link", &entry.origin)?;
                self.items.push((entry, Some(temp.clone())));
                symlinkat(&to, self.root, &temp).at("write", &shown)
            }
            Kind::File { size, mode } => {
                let source = File::open(&entry.origin).at("read", &entry.origin)?;
                unchanged(&source, entry)?;
                // The umask takes its part of the mode, and a default ACL applies, as for any new file.
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = openat(self.root, &temp, flags, Mode::from_raw_mode(mode)).at("write", &shown)?;
                self.items.push((entry, Some(temp)));
                let target = File::from(fd);
                let copied = copy::content(&source, &target, &entry.origin, &shown)?;
                // What was written to in between may be half old and half new.
                unchanged(&source, entry)?;
                if copied != size {
                    return Err(Error::Changed(entry.origin.clone()));
                }
                if sync {
                    fdatasync(&target).at("write", &shown)?;
                }
                self.bytes += copied;
                Ok(())
            }
        }
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        for (_, temp) in &self.items {
            if let Some(temp) = temp {
                remove(self.root, temp);
            }
        }
    }
}

fn unchanged(source: &File, entry: &Entry) -> Result<(), Error> {
    let now = Fingerprint::of(&source.metadata().at("look at", &entry.origin)?);
    if now == entry.fingerprint {
        Ok(())
    } else {
        Err(Error::Changed(entry.origin.clone()))
    }
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

/// Under the lock, any staged file is a leftover.
fn sweep(root: &Root) -> Result<(), Error> {
    for entry in ReadDir::read_from(root).at("read the directory", root.path())? {
        let entry = entry.at("read the directory", root.path())?;
        if is_staged(entry.file_name().to_bytes()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            tracing::info!(name, "removing what an interrupted run left");
            remove(root, entry.file_name());
        }
    }
    Ok(())
}

/// What cannot be removed now is swept by the next run.
fn remove(root: &Root, temp: impl Arg) {
    if let Err(error) = unlinkat(root, temp, AtFlags::empty()) {
        tracing::debug!(%error, "cannot remove a staged file");
    }
}

fn refuse_too_large(root: &Root, todo: &[&Entry]) -> Result<(), Error> {
    let needed = todo
        .iter()
        .map(|e| if let Kind::File { size, .. } = e.kind { size } else { 0 })
        .sum();
    let stat = fstatvfs(root).at("look at", root.path())?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if needed > free {
        Err(Error::TooLarge {
            dest: root.path().to_owned(),
            needed,
            free,
        })
    } else {
        Ok(())
    }
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
            (".init-copy.json", false),
        ] {
            assert_eq!(is_staged(name.as_bytes()), swept, "{name}");
        }
    }
}
