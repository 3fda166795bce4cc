//! What has to be where, and where each of it comes from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::Archive;
use crate::content::fingerprint::Fingerprint;
use pod_contract::units::hex;

/// In the number of a local file that has several names.
pub(crate) const LOCAL: u32 = 1 << 31;

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Dir,
    File,
    Link,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dir => "directory",
            Self::File => "file",
            Self::Link => "symbolic link",
        }
    }
}

/// One file, directory or symbolic link. Small, since a tree has many: where it comes from follows from source and target.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Below the plan's root, of normal components only; empty for the root itself.
    pub(crate) target: Box<Path>,
    /// Index of its source in the plan.
    pub(crate) source: u32,
    /// Which entry of an archive, or which of several names of one file (hard links share it); 0 for neither. Numbers of local files
    /// have [`LOCAL`] set: they are shared by all sources.
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    /// Permission bits in the source, special ones too.
    pub(crate) mode: u16,
    /// Its place among the names of one file.
    pub(crate) share: Share,
    /// Of the source; the size is that of what will be written.
    pub(crate) fingerprint: Fingerprint,
    /// What the text becomes when variables are put in.
    pub(crate) rendered: Option<Box<[u8; 32]>>,
}

/// Hard links become hard links again: one name gets the content, the others are links to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// The file has one name.
    Alone,
    /// The name that gets the content.
    First,
    /// Another name of the same source and number.
    Again,
}

impl Entry {
    /// Bytes that it takes.
    pub(crate) fn size(&self) -> u64 {
        if self.kind == Kind::File && self.share != Share::Again {
            self.fingerprint.size
        } else {
            0
        }
    }

    /// Tells the file of several names from others.
    pub(crate) fn file(&self) -> (u32, u32) {
        let source = if self.number & LOCAL == 0 { self.source } else { LOCAL };
        (source, self.number)
    }
}

/// Where the entries of one source come from.
#[derive(Debug)]
pub(crate) enum Content {
    /// Files below this path.
    Local(PathBuf),
    /// A file that lies in the destination's file system under a name of ours, proven and synced.
    Fetched {
        part: PathBuf,
        sha256: String,
    },
    Archive(Archive),
    /// What an earlier run put into this destination, and that is still there: nothing to stage from.
    Kept,
    /// Known by size only, in a plan that is not carried out.
    Announced,
}

/// One source, looked into.
#[derive(Debug)]
pub(crate) struct Opened {
    /// For people and for the receipt; without secrets.
    pub(crate) label: Arc<str>,
    /// Where its content goes, below the root.
    pub(crate) prefix: PathBuf,
    pub(crate) content: Content,
    /// What identifies the content when entries have no fingerprints of their own.
    pub(crate) identity: Option<Arc<str>>,
    /// The name of the download that it lies in, to be removed when all is done.
    pub(crate) part: Option<PathBuf>,
}

impl Opened {
    /// The path of an entry in the source, for people, and for reading when the source is local.
    pub(crate) fn origin(&self, target: &Path) -> PathBuf {
        let below = target.strip_prefix(&self.prefix).unwrap_or(target);
        match &self.content {
            Content::Local(base) if below.as_os_str().is_empty() => base.clone(),
            Content::Local(base) => base.join(below),
            Content::Fetched { .. } | Content::Announced | Content::Kept => PathBuf::from(&*self.label),
            Content::Archive(_) => PathBuf::from(format!("{}!{}", self.label, below.display())),
        }
    }
}

/// All entries, sorted by target.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<Opened>,
    pub(crate) entries: Vec<Entry>,
}

impl Plan {
    /// Where an entry comes from.
    pub(crate) fn origin(&self, entry: &Entry) -> PathBuf {
        self.sources[entry.source as usize].origin(&entry.target)
    }

    /// The path of an entry below its source; `None` for the source itself.
    pub(crate) fn below<'e>(&self, entry: &'e Entry) -> Option<&'e Path> {
        let prefix = &self.sources[entry.source as usize].prefix;
        let below = entry.target.strip_prefix(prefix).ok()?;
        (!below.as_os_str().is_empty()).then_some(below)
    }

    /// What identifies the content of an entry: when it is the same again, so is the content.
    pub(crate) fn stamp(&self, entry: &Entry) -> Stamp {
        match (&entry.rendered, &self.sources[entry.source as usize].identity) {
            (Some(digest), _) => Stamp::Text(hex(&digest[..]).into()),
            (None, Some(identity)) => Stamp::Text(Arc::clone(identity)),
            (None, None) => Stamp::Stat(entry.fingerprint),
        }
    }
}

/// What identified an entry's content in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// How the source looked.
    Stat(Fingerprint),
    /// A digest or tag of the whole source.
    Text(Arc<str>),
}
