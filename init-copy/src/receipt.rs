//! The receipt: what an earlier run put there, from what, and how both looked when it was done.
//!
//! A second run is skipped on this proof, never on mere existence. A change of content, and any other change to a file, moves its
//! status-change time, which no user can set: source and target are proven unchanged without reading them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use pod_contract::publish::Staged;
use rustix::fs::{Mode, OFlags, Stat, openat};
use serde::{Deserialize, Serialize};

use crate::beneath::Root;
use crate::error::{At as _, Error};
use crate::fingerprint::Fingerprint;
use crate::plan::Entry;

/// A hidden file, not a directory: Tomcat would deploy a directory in `webapps` as an application.
pub(crate) const NAME: &str = ".init-copy.json";
const VERSION: u32 = 1;
/// About a million entries; a larger file is not ours.
const MAX_BYTES: u64 = 512 << 20;

/// One entry that is in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    from: String,
    source: Fingerprint,
    target: Fingerprint,
}

impl Record {
    pub(crate) fn new(entry: &Entry, target: Fingerprint) -> Self {
        Self {
            from: text(&entry.origin),
            source: entry.fingerprint,
            target,
        }
    }
}

/// All records of a destination, of this and of earlier runs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    version: u32,
    /// By path below the destination.
    entries: BTreeMap<String, Record>,
}

impl Receipt {
    /// The receipt of the destination; empty when there is none, or none that can be believed.
    pub(crate) fn read(root: &Root) -> Self {
        match read(root) {
            Ok(Some(receipt)) => receipt,
            Ok(None) => Self::empty(),
            Err(error) => {
                tracing::warn!(dest = %root.path().display(), %error, "the receipt cannot be used: everything is copied again");
                Self::empty()
            }
        }
    }

    fn empty() -> Self {
        Self {
            version: VERSION,
            entries: BTreeMap::new(),
        }
    }

    /// Is the entry in place, copied from this very source, both unchanged since?
    pub(crate) fn proves(&self, entry: &Entry, target: &Stat) -> bool {
        self.entries.get(&text(&entry.target)) == Some(&Record::new(entry, Fingerprint::of_stat(target)))
    }

    pub(crate) fn add(&mut self, published: Vec<(PathBuf, Record)>) {
        self.entries
            .extend(published.into_iter().map(|(path, record)| (text(&path), record)));
    }

    /// Written last, whole or not at all.
    pub(crate) fn write(&self, root: &Path) -> Result<(), Error> {
        let path = root.join(NAME);
        let text = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .at("encode", &path)?;
        let mut staged = Staged::create(&path).at("write", &path)?;
        staged.file().write_all(&text).at("write", &path)?;
        staged.publish(0o644).at("write", &path)
    }
}

fn read(root: &Root) -> std::io::Result<Option<Receipt>> {
    let file = match openat(
        root,
        NAME,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(fd) => std::fs::File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    let receipt: Receipt = serde_json::from_slice(&text)?;
    if receipt.version == VERSION {
        Ok(Some(receipt))
    } else {
        Err(std::io::Error::other(format!("version {}", receipt.version)))
    }
}

/// A path as text; one that is not UTF-8 as its bytes, behind a NUL, which no path has.
fn text(path: &Path) -> String {
    path.to_str().map_or_else(
        || {
            path.as_os_str()
                .as_encoded_bytes()
                .iter()
                .fold("\0".to_owned(), |text, byte| text + &format!("{byte:02x}"))
        },
        str::to_owned,
    )
}
