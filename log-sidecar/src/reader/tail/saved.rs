//! What a checkpoint says of a file, and how it is taken up again.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::{Tail, modified, pread_at};
use crate::batch::Source;
use crate::checkpoint::Saved;
use crate::discover::{Found, Kind};
use crate::frontier::Frontier;
use crate::identity::{Evidence, HEAD, Inode, content_id};
use crate::parse::Zone;
use crate::reader::clock::LOOK_BACK;
use crate::reader::files::Held;
use crate::reader::former::Former;
use crate::reader::framing::{Units, Utf16};

impl Tail {
    /// A file that the checkpoint knows: where that ended. If it is not that file any more, from its head, and the former one is given back.
    pub(in crate::reader) fn resume(
        file: File,
        inode: Inode,
        saved: &Saved,
        scope: &Arc<str>,
    ) -> std::io::Result<(Self, Option<Former>)> {
        let (length, evidence) = saved.known_by();
        let Self { file, .. } = match Self::adopt(file, inode, Former::of(saved), scope)? {
            tail if tail.position > 0 && tail.holds(evidence) => return Ok((tail, None)),
            tail if tail.position == 0 && evidence.agrees(&tail.file, length) => return Ok((tail, None)),
            tail => tail,
        };
        let generation = saved.generation + 1;
        let source = Source {
            id: content_id(scope, &inode, generation),
            path: saved.path.clone(),
            inode,
        };
        let anew = Self::at(file, inode, Arc::new(source), generation, Frontier::at(0), scope)?;
        Ok((anew, Some(Former::of(saved))))
    }

    /// What a checkpoint says of this file. Should the bytes be gone, the last good evidence stands: they were settled.
    pub(in crate::reader) fn saved(&mut self) -> Saved {
        let settled = self.frontier.settled();
        if self.evidence.0 != settled {
            // What was written in the place of what was read is no evidence of that.
            let evidence = if settled == self.position {
                Some(Evidence::of(&self.head, &self.guard))
            } else if self.is_changed() {
                None
            } else {
                Evidence::take(&self.file, settled).ok()
            };
            if let Some(evidence) = evidence {
                self.evidence = (settled, evidence);
            }
        }
        let length = if settled == 0 { self.size().min(HEAD) } else { 0 };
        if self.begins.as_ref().map_or(0, |(length, _)| *length) != length {
            self.begins = Evidence::take(&self.file, length)
                .ok()
                .map(|evidence| (length, evidence));
        }
        let (offset, evidence) = self.evidence;
        // What was read was of that time.
        let (size, modified) = match self.modified {
            0 => self
                .file
                .metadata()
                .map_or((0, 0), |meta| (meta.len(), modified(&meta))),
            modified => (self.written(self.seen.max(self.measured)), modified),
        };
        Saved {
            id: self.source.id.clone(),
            path: self.source.path.clone(),
            inode: self.inode,
            generation: self.generation,
            offset,
            evidence,
            begins: self.begins,
            read: self.position,
            size,
            modified,
            packed: None,
            // Of that offset, or of none.
            clock: self.clock.saved(settled).filter(|_| offset == settled),
        }
    }

    /// Looks for the time of earlier lines before the position, if the checkpoint does not say it.
    pub(in crate::reader) fn wind(&mut self, zone: Zone, utf16: Option<Utf16>) -> std::io::Result<()> {
        let units = Units::of(utf16, &self.head);
        let length = self.position.min(LOOK_BACK);
        let before = || pread_at(&self.file, self.position - length, length);
        self.clock.wind(|| Ok(units.decoded(before()?)), zone)
    }

    /// Is so little of it on disk that nobody would know it again under another inode?
    pub(in crate::reader) fn is_unknown(&self) -> bool {
        self.frontier.settled() == 0 && self.begins.is_none()
    }

    /// For whoever goes on with it, though it has no name.
    pub(in crate::reader) fn into_held(self, inode: Inode) -> Held {
        let found = Found {
            path: Path::new(&self.source.path).to_owned(),
            inode,
            size: self.seen,
            modified: self.modified,
            kind: Kind::Rotated,
        };
        Held::new(self.file, found)
    }

    /// The id that a file of this inode has if nobody knows it.
    pub(in crate::reader) fn initial_id(&self) -> String {
        content_id(&self.scope, &self.inode, 0)
    }
}
