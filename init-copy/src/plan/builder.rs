//! The sources' entries collected, sorted, and refused where they cannot stand together.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::entry::{Content, Entry, Kind, LOCAL, Opened, Plan, Share};
use super::names::is_ours;
use super::order::{apart, is_normal, is_within, order};
use crate::archive::{self, Refused};
use crate::error::{Error, NO_SPACE};

/// Collects entries and refuses what cannot stand together.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) sources: Vec<Opened>,
    pub(crate) entries: Vec<Entry>,
    max_entries: usize,
    /// Local files under several names, by device and inode.
    files: HashMap<(u64, u64), u32>,
}

impl Builder {
    pub(crate) fn new(max_entries: usize) -> Self {
        Self {
            sources: Vec::new(),
            entries: Vec::new(),
            max_entries,
            files: HashMap::new(),
        }
    }

    /// The number of a local file that has several names: the same for each of them.
    pub(crate) fn number_of(&mut self, file: (u64, u64)) -> u32 {
        let next = LOCAL | u32::try_from(self.files.len() + 1).unwrap_or(u32::MAX);
        *self.files.entry(file).or_insert(next)
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
        debug_assert!(
            is_normal(&entry.target),
            "{:?} is compared byte by byte, and is not normal",
            entry.target
        );
        let first = entry.target.as_os_str().as_bytes().split(|&byte| byte == b'/').next();
        let first = first.unwrap_or_default();
        if is_ours(OsStr::from_bytes(first)) {
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
            let (parent, _) = apart(&entry.target);
            // Those above `known` are there as well, by the order of the entries.
            let mut above: Vec<&Path> = Vec::new();
            let mut dir = parent;
            while !is_within(known, dir) {
                above.push(dir);
                (dir, _) = apart(dir);
            }
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
            if let Some(above) = leaf.filter(|leaf| is_within(&entry.target, &leaf.target)) {
                return Err(self.collision(above, entry));
            }
            if let Some(previous) = previous.filter(|previous| previous.target.as_os_str() == entry.target.as_os_str())
            {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::fingerprint::Fingerprint;

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
        for (name, reserved) in [
            (".init-copy.receipt", true),
            (".init-copy-12345678-0/a", true),
            (".init-copy-part-0", true),
            (".init-copy-notes", false),
            (".init-copyright", false),
        ] {
            let refused = matches!(plan(&[(name, Kind::File)], 9), Err(Error::Reserved { .. }));
            assert_eq!(refused, reserved, "{name}");
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
