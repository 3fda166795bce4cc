//! What has to be where: the sources turned into a list of entries, before anything is written.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, Archive, Refused};
use crate::error::{Error, NO_SPACE};
use crate::fingerprint::Fingerprint;
use crate::receipt::Stamp;
use crate::stage;

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
    /// Which entry of an archive, or which of several names of one file (hard links share it); 0 for neither.
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
        (self.source, self.number)
    }
}

/// Where the entries of one source come from.
#[derive(Debug)]
pub(crate) enum Content {
    /// Files below this path.
    Local(PathBuf),
    /// A file that lies in the destination's file system under a name of ours, proven and synced.
    Fetched(PathBuf),
    Archive(Archive),
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
            Content::Fetched(_) | Content::Announced => PathBuf::from(&*self.label),
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
            (Some(digest), _) => Stamp::Text(crate::checksum::hex(&digest[..]).into()),
            (None, Some(identity)) => Stamp::Text(Arc::clone(identity)),
            (None, None) => Stamp::Stat(entry.fingerprint),
        }
    }
}

/// Collects entries and refuses what cannot stand together.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) sources: Vec<Opened>,
    pub(crate) entries: Vec<Entry>,
    max_entries: usize,
}

impl Builder {
    pub(crate) fn new(max_entries: usize) -> Self {
        Self {
            sources: Vec::new(),
            entries: Vec::new(),
            max_entries,
        }
    }

    /// Starts a source; the entries that follow are its own.
    pub(crate) fn source(&mut self, opened: Opened) {
        self.sources.push(opened);
    }

    pub(crate) fn push(&mut self, mut entry: Entry) -> Result<(), Error> {
        entry.source = u32::try_from(self.sources.len().saturating_sub(1)).unwrap_or(u32::MAX);
        if self.entries.len() == self.max_entries {
            return Err(self.too_many());
        }
        let first = entry
            .target
            .components()
            .next()
            .map_or(b"".as_slice(), |c| c.as_os_str().as_bytes());
        if first.starts_with(stage::RESERVED.as_bytes()) {
            return Err(Error::Reserved {
                origin: self.origin(&entry),
                target: entry.target.into(),
            });
        }
        self.entries.push(entry);
        Ok(())
    }

    fn origin(&self, entry: &Entry) -> PathBuf {
        self.sources
            .get(entry.source as usize)
            .map(|source| source.origin(&entry.target))
            .unwrap_or_default()
    }

    /// Two members of one archive are a trick on whoever checked it; two sources are a mistake.
    fn collision(&self, first: &Entry, second: &Entry) -> Error {
        let opened = self.sources.get(first.source as usize);
        match opened.filter(|opened| first.source == second.source && matches!(opened.content, Content::Archive(_))) {
            Some(opened) => archive::refused(
                &opened.label,
                &Refused::Unsafe(format!(
                    "the members {} and {} would both become {}",
                    first.target.display(),
                    second.target.display(),
                    second.target.display()
                )),
            ),
            None => Error::Collision {
                first: self.origin(first),
                second: self.origin(second),
                target: second.target.to_path_buf(),
            },
        }
    }

    /// Adds the directories that have no entry of their own, as in a zip of files only. The entries are sorted.
    fn add_missing_dirs(&mut self) -> Result<(), Error> {
        let mut missing: Vec<Entry> = Vec::new();
        let mut known: &Path = Path::new("");
        for entry in &self.entries {
            let parent = entry.target.parent().unwrap_or(Path::new(""));
            // Those above `known` are there as well, by the order of the entries.
            let mut above: Vec<&Path> = parent
                .ancestors()
                .take_while(|dir| !dir.as_os_str().is_empty() && !known.starts_with(dir))
                .collect();
            if self.entries.len() + missing.len() + above.len() > self.max_entries {
                return Err(self.too_many());
            }
            while let Some(dir) = above.pop() {
                missing.push(Entry {
                    target: dir.into(),
                    number: 0,
                    kind: Kind::Dir,
                    mode: archive::DIR_MODE as u16,
                    share: Share::Alone,
                    rendered: None,
                    ..entry.clone()
                });
            }
            known = if entry.kind == Kind::Dir { &entry.target } else { parent };
        }
        if !missing.is_empty() {
            self.entries.append(&mut missing);
            self.entries.sort_by(|a, b| order(&a.target, &b.target));
        }
        Ok(())
    }

    fn too_many(&self) -> Error {
        Error::new(
            NO_SPACE,
            format!("more than {} entries in one step", self.max_entries),
            "raise --max-entries, and the memory limit by 500 bytes for each; or copy in several steps",
        )
    }

    /// Sorts the entries and refuses two that would become one, or one below another that is no directory.
    pub(crate) fn finish(mut self) -> Result<Plan, Error> {
        // Stable: of two equal directories, the one of the earlier source stays.
        self.entries.sort_by(|a, b| order(&a.target, &b.target));
        self.add_missing_dirs()?;
        let mut previous: Option<&Entry> = None;
        let mut leaf: Option<&Entry> = None;
        let mut doubled = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(above) = leaf.filter(|leaf| entry.target.starts_with(&leaf.target)) {
                return Err(self.collision(above, entry));
            }
            if let Some(previous) = previous.filter(|previous| previous.target == entry.target) {
                if previous.kind != Kind::Dir || entry.kind != Kind::Dir {
                    return Err(self.collision(previous, entry));
                }
                doubled.push(index);
            }
            leaf = (entry.kind != Kind::Dir).then_some(entry);
            previous = Some(entry);
        }
        let mut doubled = doubled.into_iter().peekable();
        let mut index = 0;
        self.entries.retain(|_| {
            let drop = doubled.next_if_eq(&index).is_some();
            index += 1;
            !drop
        });
        self.entries.shrink_to_fit();
        let mut files = HashSet::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.share != Share::Alone) {
            entry.share = if files.insert(entry.file()) {
                Share::First
            } else {
                Share::Again
            };
        }
        Ok(Plan {
            sources: self.sources,
            entries: self.entries,
        })
    }
}

/// By component, so that a directory comes right before all that is below it.
pub(crate) fn order(a: &Path, b: &Path) -> std::cmp::Ordering {
    // Like comparing the components, without taking the paths apart: the separator sorts before any other byte.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.as_os_str()
        .as_bytes()
        .iter()
        .map(key)
        .cmp(b.as_os_str().as_bytes().iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str, kind: Kind) -> Entry {
        Entry {
            target: Path::new(target).into(),
            source: 0,
            number: 0,
            kind,
            mode: 0o644,
            share: Share::Alone,
            fingerprint: Fingerprint::within(1, 0),
            rendered: None,
        }
    }

    fn plan(entries: &[(&str, Kind)], max: usize) -> Result<Vec<String>, Error> {
        let mut builder = Builder::new(max);
        builder.source(Opened {
            label: "".into(),
            prefix: PathBuf::new(),
            content: Content::Local(PathBuf::from("/src")),
            identity: None,
            part: None,
        });
        for (target, kind) in entries {
            builder.push(entry(target, *kind))?;
        }
        let plan = builder.finish()?;
        Ok(plan.entries.iter().map(|e| e.target.display().to_string()).collect())
    }

    #[test]
    fn a_directory_comes_right_before_what_is_below_it() {
        let found = plan(
            &[
                ("a-b", Kind::File),
                ("a/z", Kind::File),
                ("a", Kind::Dir),
                ("a", Kind::Dir),
                ("a.c", Kind::File),
            ],
            9,
        );
        assert_eq!(found.unwrap(), ["a", "a/z", "a-b", "a.c"]);
    }

    #[test]
    fn what_cannot_stand_together_is_refused() {
        for entries in [
            [("a", Kind::File), ("a", Kind::File)],
            [("a", Kind::File), ("a", Kind::Dir)],
            [("a", Kind::Link), ("a/b", Kind::File)],
        ] {
            assert!(matches!(plan(&entries, 9), Err(Error::Collision { .. })), "{entries:?}");
        }
        for name in [
            ".init-copy.receipt",
            ".init-copy-x",
            ".init-copy-12345678-0/a",
            ".init-copy.a.12345678",
        ] {
            assert!(
                matches!(plan(&[(name, Kind::File)], 9), Err(Error::Reserved { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn directories_without_an_entry_are_added_and_counted() {
        let files = [
            ("a/b/c", Kind::File),
            ("a/b/d/e", Kind::File),
            ("a/f", Kind::File),
            ("g", Kind::Dir),
            ("g/h/i", Kind::Dir),
            ("g-h/j", Kind::File),
        ];
        let all = [
            "a", "a/b", "a/b/c", "a/b/d", "a/b/d/e", "a/f", "g", "g/h", "g/h/i", "g-h", "g-h/j",
        ];
        assert_eq!(plan(&files, 11).unwrap(), all);
        for (max, good) in [(10, false), (11, true), (12, true)] {
            assert_eq!(plan(&files, max).is_ok(), good, "{max}");
        }
    }

    #[test]
    fn entries_are_counted() {
        let two = [("a", Kind::File), ("b", Kind::File)];
        for (max, good) in [(1, false), (2, true), (3, true)] {
            assert_eq!(plan(&two, max).is_ok(), good, "{max}");
        }
    }
}
