//! Which files are followed: the directories compared with what is open, and what is known of files that are not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pod_contract::explain;

use super::tail::{self, Likeness, Tail};
use crate::batch::Settled;
use crate::checkpoint::{Positions, Saved};
use crate::discover::{Found, Kind, Patterns};
use crate::identity::{HEAD, Inode};
use crate::ledger::Ledger;

/// Birth times come from a coarser clock, nanoseconds.
const CLOCK_GRAIN: i64 = 20_000_000;

/// The files of the volume, as the reader knows them.
pub(super) struct Files {
    patterns: Patterns,
    ledger: Ledger,
    /// Part of every file's id, see [`crate::pod::scope`].
    scope: String,
    pub(super) tails: BTreeMap<Inode, Tail>,
    /// Of files that are not open: from the checkpoint, or rotated and let go.
    closed: Vec<Saved>,
    /// When the directories were looked at last, nanoseconds since 1970.
    looked_at: i64,
    first_look: bool,
    /// What rotated files that came up since the start were taken for.
    young: BTreeMap<Inode, Likeness>,
    unreadable: BTreeMap<PathBuf, String>,
}

impl Files {
    pub(super) fn new(patterns: Patterns, positions: Positions, ledger: Ledger) -> Self {
        Self {
            patterns,
            ledger,
            scope: crate::pod::scope(),
            tails: BTreeMap::new(),
            closed: positions.files,
            looked_at: positions.looked_at,
            first_look: true,
            young: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        }
    }

    /// Makes the open files equal to what the directories say; true when one was opened.
    pub(super) fn reconcile(&mut self) -> bool {
        let now = nanos_now();
        let found = self.patterns.scan();
        for tail in self.tails.values_mut() {
            tail.matched = false;
        }
        self.young.retain(|inode, _| found.iter().any(|f| f.inode == *inode));
        self.unreadable.retain(|path, _| found.iter().any(|f| f.path == *path));
        let mut opened = false;
        for file in &found {
            if let Some(tail) = self.tails.get_mut(&file.inode) {
                tail.matched |= file.kind == Kind::Matched;
            } else if file.kind == Kind::Matched || self.has_more(file) || self.came_and_went(file) {
                opened |= self.open(file);
            }
        }
        self.looked_at = now;
        self.let_go(&found);
        self.first_look = false;
        self.measure();
        opened
    }

    pub(super) fn measure(&self) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let backlog: u64 = self.tails.values().map(Tail::backlog).sum();
        self.ledger
            .backlog_bytes
            .set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.ledger.open_files.set(gauge(self.tails.len()));
        self.ledger.unreadable_files.set(gauge(self.unreadable.len()));
    }

    /// Notes a range as settled. One of a file that was truncated since belongs to content that is gone.
    pub(super) fn settle(&mut self, range: &Settled) {
        if let Some(tail) = self
            .tails
            .values_mut()
            .find(|tail| std::sync::Arc::ptr_eq(&tail.source, &range.source))
        {
            tail.frontier.settle(range.start, range.end);
        }
    }

    /// What a checkpoint has to say.
    pub(super) fn positions(&mut self) -> Positions {
        let open = self.tails.values_mut().map(Tail::saved);
        Positions::new(self.looked_at, open.chain(self.closed.iter().cloned()).collect())
    }

    /// A file outside the patterns that was read before under another name, and has grown since.
    fn has_more(&self, file: &Found) -> bool {
        let size = || std::fs::metadata(&file.path).map_or(0, |meta| meta.len());
        self.closed
            .iter()
            .any(|saved| saved.inode.is_likely(&file.inode) && saved.offset < size())
    }

    /// A rotated file that was born and renamed away between two looks, or while the sidecar was down; not a copy of a file that is known.
    fn came_and_went(&mut self, file: &Found) -> bool {
        let known = || self.closed.iter().any(|saved| saved.inode.is_likely(&file.inode));
        let judged = self.young.get(&file.inode);
        let unseen = judged.is_none() && file.inode.is_born_since(self.looked_at - CLOCK_GRAIN) && !known();
        if file.kind != Kind::Rotated || !(unseen || judged == Some(&Likeness::Undecided)) {
            return false;
        }
        let likeness = self.likeness(&file.path);
        // A stranger stays a candidate until it is open, should it be unreadable now.
        self.young.insert(file.inode, likeness.max(Likeness::Undecided));
        likeness == Likeness::Stranger
    }

    fn likeness(&self, path: &Path) -> Likeness {
        // Whoever opens it again tells why it cannot be read.
        let Ok(file) = File::open(path) else {
            return Likeness::Stranger;
        };
        let start = tail::pread_at(&file, 0, HEAD).unwrap_or_default();
        if start.is_empty() {
            return Likeness::Undecided;
        }
        if self
            .closed
            .iter()
            .any(|saved| saved.evidence.has_head_of(&file, saved.offset))
        {
            return Likeness::Copy;
        }
        self.tails
            .values()
            .map(|tail| tail.likeness(&start))
            .max()
            .unwrap_or(Likeness::Stranger)
    }

    /// True when the file is open now.
    fn open(&mut self, found: &Found) -> bool {
        let Err(error) = self.try_open(found) else {
            self.unreadable.remove(&found.path);
            return true;
        };
        let text = error.to_string();
        if self.unreadable.insert(found.path.clone(), text.clone()) != Some(text) {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => explain::denied(&found.path),
                _ => "it is tried again as long as it is there".to_owned(),
            };
            tracing::error!(path = %found.path.display(), %error, remedy, "cannot read a file that matches");
        }
        false
    }

    fn try_open(&mut self, found: &Found) -> io::Result<()> {
        let file = File::open(&found.path)?;
        let inode = Inode::of(&file)?;
        if self.tails.contains_key(&inode) {
            return Ok(());
        }
        let index = self.closed.iter().position(|saved| saved.inode.is_likely(&inode));
        let path = found.path.to_string_lossy();
        let (mut tail, reset) = Tail::open(file, inode, &path, &self.scope, index.map(|index| &self.closed[index]))?;
        // Only now: what could not be opened is still known by its position.
        index.map(|index| self.closed.swap_remove(index));
        tail.matched = found.kind == Kind::Matched;
        if reset {
            self.ledger.resets.inc();
            tracing::warn!(path = %path, "not the file that the checkpoint knew under this inode: read from its start");
        } else {
            tracing::info!(path = %path, known_as = tail.source.path, offset = tail.frontier.settled(), "reading");
        }
        self.tails.insert(inode, tail);
        Ok(())
    }

    /// Closes rotated and deleted files from which nothing more can be expected.
    fn let_go(&mut self, found: &[Found]) {
        let done: Vec<Inode> = self
            .tails
            .iter()
            .filter(|(_, t)| t.is_abandoned() && t.is_done())
            .map(|(i, _)| *i)
            .collect();
        for inode in done {
            let Some(mut tail) = self.tails.remove(&inode) else {
                continue;
            };
            let exists = found.iter().any(|file| file.inode == inode);
            tracing::info!(
                path = tail.source.path,
                offset = tail.frontier.settled(),
                exists,
                "done with a rotated file"
            );
            self.closed.push(tail.saved());
        }
        // Of a file that is nowhere, nothing can come.
        let exists = |saved: &Saved| found.iter().any(|file| file.inode.is_likely(&saved.inode));
        let (known, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.closed).into_iter().partition(exists);
        self.closed = known;
        for saved in gone.iter().filter(|_| self.first_look) {
            let (path, offset) = (&saved.path, saved.offset);
            tracing::warn!(
                path,
                offset,
                "a file of the checkpoint is gone; what was written to it after this offset is lost"
            );
        }
    }
}

pub(super) fn nanos_now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
