//! A download on its way: its bytes under a hidden name in the destination, and beside them what is known of them.
//!
//! Both outlive this process: a container that is started again goes on where the last one was stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fdatasync, fstatvfs, ftruncate, openat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::dest::beneath::Root;
use crate::error::{At as _, Error};
use crate::plan::names::PartName;

/// What the bytes are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The URL that was asked, and the one that answered in the end: without a digest, the bytes are of no other one.
    #[serde(default)]
    pub(super) asked: String,
    #[serde(default)]
    pub(super) answered: String,
    /// A strong entity tag or a date, for `If-Range`.
    pub(super) validator: Option<String>,
}

/// The bytes so far.
#[derive(Debug)]
pub(super) struct Part<'r> {
    root: &'r Root,
    pub(super) file: File,
    names: &'r PartName,
}

impl<'r> Part<'r> {
    /// Opens what is there, or starts anew.
    pub(super) fn open(root: &'r Root, names: &'r PartName) -> Result<Self, Error> {
        let name = names.bytes();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let shown = root.path().join(&name);
        let open = || openat(root, &name, flags, Mode::from_raw_mode(0o600));
        let fd = match open() {
            // It had got the mode of what it was to become, and then its run was killed.
            Err(Errno::ACCESS) => {
                if !reopen_to_us(root, &name) {
                    remove(root, names);
                }
                open()
            }
            other => other,
        };
        Ok(Self {
            root,
            file: File::from(fd.at("write", &shown)?),
            names,
        })
    }

    pub(super) fn name(&self) -> PathBuf {
        PathBuf::from(self.names.bytes())
    }

    pub(super) fn shown(&self) -> PathBuf {
        self.root.path().join(self.names.bytes())
    }

    pub(super) fn length(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().at("look at", &self.shown())?.len())
    }

    /// Refuses, before it is fetched, what the file system has no room for.
    pub(super) fn refuse_too_large(&self, total: u64) -> Result<(), Error> {
        let needed = total.saturating_sub(self.length()?);
        let stat = fstatvfs(self.root).at("look at", self.root.path())?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if needed <= free {
            return Ok(());
        }
        Err(Error::TooLarge {
            dest: self.root.path().to_owned(),
            needed,
            free,
        })
    }

    /// What is known of the bytes; nothing if that cannot be read.
    pub(super) fn facts(&self) -> Option<Facts> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.root, self.names.facts(), flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(fd).take(64 << 10).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Empties it; what comes next is of `facts`.
    pub(super) fn restart(&self, facts: &Facts) -> Result<(), Error> {
        let shown = self.shown();
        // In this order: bytes are never beside facts of something else.
        ftruncate(&self.file, 0).at("write", &shown)?;
        let path = self.root.path().join(self.names.facts());
        let text = serde_json::to_vec(facts)
            .map_err(std::io::Error::from)
            .at("encode", &path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.root, self.names.facts(), flags, Mode::from_raw_mode(0o600)).at("write", &path)?;
        std::io::Write::write_all(&mut File::from(fd), &text).at("write", &path)
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        fdatasync(&self.file).at("write", &self.shown())
    }

    /// Both names go: it is done with, or of no use.
    pub(super) fn remove(&self) {
        remove(self.root, self.names);
    }
}

/// Gives it the mode of a part again.
fn reopen_to_us(root: &Root, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(root, name, flags, Mode::empty()).is_ok_and(|fd| fchmod(&fd, Mode::from_raw_mode(0o600)).is_ok())
}

/// Removes a download's names; what cannot be removed is swept some day.
pub(super) fn remove(root: &Root, part: &PartName) {
    for name in [part.bytes(), part.facts()] {
        if let Err(error) = unlinkat(root, name, AtFlags::empty())
            && error != Errno::NOENT
        {
            tracing::debug!(%error, "cannot remove a download's name");
        }
    }
}
