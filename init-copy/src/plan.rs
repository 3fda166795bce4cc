//! What has to be where: the sources walked into a list of entries, before anything is written.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::{At as _, Error};
use crate::fingerprint::Fingerprint;
use crate::{receipt, stage};

/// Entries of one run; more would not fit into memory kept small (about 300 bytes each).
const MAX_ENTRIES: usize = 200_000;

/// What is copied, and how it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Dir,
    File { size: u64, mode: u32 },
    Link,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dir => "directory",
            Self::File { .. } => "file",
            Self::Link => "symbolic link",
        }
    }
}

/// One file, directory or symbolic link.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) origin: PathBuf,
    /// Below the plan's root, of normal components only.
    pub(crate) target: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) fingerprint: Fingerprint,
}

/// All entries, in the order in which they are published.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: PathBuf,
    pub(crate) entries: Vec<Entry>,
}

impl Plan {
    /// Walks the sources. See the help text for what DEST means.
    pub(crate) fn make(sources: &[PathBuf], dest: &Path) -> Result<Self, Error> {
        let into = sources.len() > 1 || ends_with_slash(dest) || dest.is_dir();
        let mut walk = Walk::default();
        let mut root = dest.to_owned();
        for source in sources {
            // A source named by the user is followed if it is a link; a link inside a tree is copied as a link.
            let meta = fs::metadata(source).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Error::Missing(source.clone()),
                _ => Error::Io {
                    action: "read",
                    path: source.clone(),
                    error,
                },
            })?;
            if meta.is_dir() {
                refuse_into_itself(source, dest)?;
                let contents = contributes_contents(source);
                let target = if contents { PathBuf::new() } else { name_of(source) };
                walk.tree(source, target, &meta)?;
            } else if into {
                walk.leaf(source, name_of(source), &meta)?;
            } else {
                root = pod_contract::publish::parent(dest).to_owned();
                walk.leaf(source, name_of(dest), &meta)?;
            }
        }
        Ok(Self {
            root,
            entries: walk.entries,
        })
    }
}

#[derive(Default)]
struct Walk {
    entries: Vec<Entry>,
    seen: BTreeMap<PathBuf, usize>,
}

impl Walk {
    /// A directory, its own entries first, deeper ones after: a tree that is renamed in piece by piece has its parents before its children.
    fn tree(&mut self, source: &Path, target: PathBuf, meta: &Metadata) -> Result<(), Error> {
        if !target.as_os_str().is_empty() {
            self.push(source, target.clone(), Kind::Dir, meta)?;
        }
        let mut children = fs::read_dir(source)
            .and_then(|dir| dir.collect::<Result<Vec<_>, _>>())
            .at("read the directory", source)?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let path = child.path();
            let meta = child.metadata().at("look at", &path)?;
            let target = target.join(child.file_name());
            if meta.is_dir() {
                self.tree(&path, target, &meta)?
            } else {
                self.leaf(&path, target, &meta)?
            }
        }
        Ok(())
    }

    fn leaf(&mut self, source: &Path, target: PathBuf, meta: &Metadata) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt as _;
        let kind = meta.file_type();
        let kind = if kind.is_file() {
            Kind::File {
                size: meta.len(),
                mode: meta.mode() & 0o777,
            }
        } else if kind.is_symlink() {
            Kind::Link
        } else {
            let kind = if kind.is_fifo() {
                "named pipe"
            } else if kind.is_socket() {
                "socket"
            } else {
                "device"
            };
            return Err(Error::Special {
                path: source.to_owned(),
                kind,
            });
        };
        self.push(source, target, kind, meta)
    }

    fn push(&mut self, origin: &Path, target: PathBuf, kind: Kind, meta: &Metadata) -> Result<(), Error> {
        if let Some(&index) = self.seen.get(&target) {
            let first = &self.entries[index];
            if kind == Kind::Dir && first.kind == Kind::Dir {
                return Ok(());
            }
            return Err(Error::Collision {
                first: first.origin.clone(),
                second: origin.to_owned(),
                target,
            });
        }
        if self.entries.len() == MAX_ENTRIES {
            let error = std::io::Error::other(format!("more than {MAX_ENTRIES} entries in one run"));
            return Err(error).at("plan", origin);
        }
        let first_name = target
            .components()
            .next()
            .map_or(b"".as_slice(), |c| c.as_os_str().as_encoded_bytes());
        if first_name == receipt::NAME.as_bytes() || first_name.starts_with(stage::PREFIX.as_bytes()) {
            return Err(Error::Reserved {
                origin: origin.to_owned(),
                target,
            });
        }
        self.seen.insert(target.clone(), self.entries.len());
        self.entries.push(Entry {
            origin: origin.to_owned(),
            target,
            kind,
            fingerprint: Fingerprint::of(meta),
        });
        Ok(())
    }
}

fn refuse_into_itself(source: &Path, dest: &Path) -> Result<(), Error> {
    let source_dir = fs::canonicalize(source).at("read", source)?;
    let nearest = dest
        .ancestors()
        .find_map(|p| fs::canonicalize(if p.as_os_str().is_empty() { Path::new(".") } else { p }).ok());
    match nearest {
        Some(dest) if dest.starts_with(&source_dir) => Err(Error::IntoItself { source_dir, dest }),
        _ => Ok(()),
    }
}

/// `SRC/`, and `SRC/.` as with `cp`.
fn contributes_contents(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    ends_with_slash(path) || text.ends_with(b"/.") || text == b"."
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// The last name of a path; a source such as `..` or `/` has none and contributes its contents.
fn name_of(path: &Path) -> PathBuf {
    match path.components().next_back() {
        Some(Component::Normal(name)) => PathBuf::from(name),
        _ => PathBuf::new(),
    }
}
