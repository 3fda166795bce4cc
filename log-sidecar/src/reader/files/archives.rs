//! Compressed files: which are read through, and which hold what is known already.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Files;
use super::format::is_tar;
use super::growing::{Growing, Mark};
use super::look::Look;
use crate::checkpoint::{Copied, Saved};
use crate::discover::Found;
use crate::identity::Inode;
use crate::reader::archive::{Archive, Unpacked};
use crate::reader::former::{Former, Share};
use crate::reader::tail::{Tail, may_be_copy};

/// So many are open at a time; the others wait for their turn.
const MOST: usize = 32;

/// What an archive holds.
enum Origin {
    /// What is read already, or is read from elsewhere.
    Copy,
    /// The rest of a file that is gone.
    Rest(Box<Saved>),
    /// The rest of what a file was before it was truncated.
    RestOfFormer(usize),
    /// It is read from its head.
    Unknown,
    /// Nobody knows yet.
    Open,
    /// Files, not lines.
    Tar,
}

impl Files {
    /// May one more be opened?
    pub(super) fn has_room_for_archive(&self) -> bool {
        self.archives.len() + self.growing.len() < MOST.min(self.capacity / 2 + 1)
    }

    /// Are there archives of which nobody knows yet what they hold?
    pub(in crate::reader) fn awaits_archives(&self) -> bool {
        self.has_more_archives || !self.growing.is_empty()
    }

    /// Finds out some more of what the first one holds of which nobody knows yet; `None` if there is none, true when a look can judge it.
    pub(in crate::reader) fn unpack_archive(&mut self) -> Option<bool> {
        let growing = self.growing.iter_mut().find(|growing| growing.is_under_way())?;
        growing.advance().then(|| !growing.is_under_way())
    }

    /// Goes on with an archive that was read up to somewhere.
    pub(super) fn resume_archive(&mut self, found: &Found, file: std::fs::File, saved: &Saved) -> io::Result<()> {
        let size = saved.packed.map_or(0, |packed| packed.size);
        let known = if saved.evidence.agrees(&file, size) {
            Former::of(saved)
        } else {
            // Another one was written in its place.
            Former::unread(found.inode, &found.path, &self.scope, saved.generation + 1)
        };
        let archive = Archive::of(known, Arc::new(file), found.inode, found.path.clone())?;
        self.memory.forget(&found.inode);
        self.start(archive, &found.inode);
        Ok(())
    }

    /// `known_as` is the file that it is the rest of.
    fn start(&mut self, mut archive: Archive, known_as: &Inode) {
        archive.sent_up_to = self.sent_up_to(known_as);
        tracing::info!(
            path = %archive.path.display(),
            known_as = archive.source.path,
            offset = archive.position,
            "reading what was compressed"
        );
        self.archives.push(archive);
    }

    /// Reads those that rest from where what they hold is known to, if there is anything new in them; true when one was begun.
    pub(super) fn judge_archives(&mut self, look: &Look<'_>) -> bool {
        let before = self.archives.len();
        for mut growing in std::mem::take(&mut self.growing) {
            growing.is_gone = look.of(&growing.inode).is_none();
            if growing.rests() && !growing.is_under_way() {
                self.judge_archive(growing, look);
            } else {
                self.growing.push(growing);
            }
        }
        self.archives.len() > before
    }

    fn judge_archive(&mut self, mut growing: Growing, look: &Look<'_>) {
        let begun = self.origin(&mut growing, look).and_then(|origin| {
            let mut known_as = growing.inode;
            let known = match origin {
                Origin::Open | Origin::Copy | Origin::Tar => return Ok((origin, None)),
                Origin::Unknown => Former::unread(growing.inode, &growing.path, &self.scope, 0),
                Origin::Rest(ref saved) => {
                    known_as = saved.inode;
                    Former::of(saved)
                }
                Origin::RestOfFormer(index) => {
                    known_as = self.formers[index].inode;
                    self.formers[index].clone()
                }
            };
            let archive = Archive::of(known, Arc::clone(&growing.file), growing.inode, growing.path.clone())?;
            match &origin {
                Origin::Rest(saved) => self.memory.forget(&saved.inode),
                Origin::RestOfFormer(index) => drop(self.formers.swap_remove(*index)),
                _ => {}
            }
            Ok((origin, Some((archive, known_as))))
        });
        let path = growing.path.display();
        match begun {
            Ok((_, Some((archive, known_as)))) => self.start(archive, &known_as),
            Ok((Origin::Open, None)) => self.growing.push(growing),
            Ok((Origin::Tar, None)) => {
                tracing::warn!(%path, bytes = growing.size, "a tar, which holds files and not lines: left out");
                self.memory
                    .note_left_out(growing.inode, &growing.path, growing.size, growing.modified);
            }
            Ok(_) => {
                tracing::info!(%path, "compressed, and a copy of what is read: left out");
                self.memory
                    .note_left_out(growing.inode, &growing.path, growing.size, growing.modified);
            }
            // Its head is all there is yet: once there is more, it is found anew.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) if error.raw_os_error().is_some() && !(growing.is_gone && self.is_ending) => {
                growing.trouble.tell(&growing.path, &error);
                self.growing.push(growing);
            }
            Err(error) => {
                self.has_lost = true;
                tracing::error!(%path, bytes = growing.size, %error, "no gzip, whatever its name says: left out, and its lines are lost");
                self.memory
                    .note_left_out(growing.inode, &growing.path, growing.size, growing.modified);
            }
        }
    }

    /// Evidence that cannot tell decides for reading.
    fn origin(&self, growing: &mut Growing, look: &Look<'_>) -> io::Result<Origin> {
        let path = growing.path.clone();
        let Some(walk) = &growing.walk else {
            let head = growing.head()?;
            if is_tar(&head.head) {
                return Ok(Origin::Tar);
            }
            let marks = self.marks(&path, &head);
            let begins = |tail: &Tail| tail.begins_like(&head);
            let may_be = |former: &Former| former.may_be_in(&path);
            if marks.is_empty()
                && !self.tails.values().any(begins)
                && !self.formers.iter().any(may_be)
                && self.memory.copies().next().is_none()
            {
                return Ok(Origin::Unknown);
            }
            growing.set_out(marks);
            return Ok(Origin::Open);
        };
        let unpacked = &walk.unpacked;
        let length = unpacked.position;
        // One that is followed may have grown since; but it is not less than what was made of it.
        let is_like = |tail: &&Tail| {
            (1..=tail.size()).contains(&length)
                && may_be_copy(Path::new(&tail.source.path), length, &path)
                && tail.is_like(unpacked)
        };
        for tail in self.tails.values().filter(is_like) {
            if !tail.is_in_use() {
                return Ok(settled_or_open(tail.frontier.settled(), length));
            }
            // Of one that is in use, it is a copy only if that is truncated soon; then there is a former one to compare with.
            if growing.is_young() && !self.is_ending {
                return Ok(Origin::Open);
            }
        }
        let is_copy = |copy: &Copied| {
            copy.size == length && may_be_copy(Path::new(&copy.path), length, &path) && unpacked.agrees(&copy.evidence)
        };
        if self.memory.copies().any(is_copy) {
            return Ok(Origin::Copy);
        }
        let marks = self.marks(&path, unpacked);
        if !walk.covers(&marks) {
            // More is known than when it set out.
            growing.set_out(marks);
            return Ok(Origin::Open);
        }
        // Of all that it agrees with, what was read farthest.
        let known_by = |known_by: (u64, &_)| walk.agreed.iter().any(|(length, e)| (*length, e) == known_by);
        let read = self.plain_in(&path).filter(|saved| known_by(saved.known_by()));
        let read = read.max_by_key(|saved| saved.known_by().0);
        let formers = self.formers.iter().enumerate();
        let formers: Vec<_> = formers.filter(|(_, former)| former.may_be_in(&path)).collect();
        let former = formers.iter().filter(|(_, former)| known_by(former.known_by()));
        let former = former
            .max_by_key(|(_, former)| former.known_by().0)
            .filter(|(_, former)| read.is_none_or(|saved| saved.known_by().0 <= former.known_by().0))
            .map(|(index, _)| *index);
        let share = formers
            .iter()
            .find_map(|(index, former)| Some((*index, former.share_in(unpacked)?)));
        Ok(match (former, read, share) {
            (Some(index), ..) | (None, _, Some((index, Share::Rest))) => Origin::RestOfFormer(index),
            (None, _, Some((_, Share::All))) => Origin::Copy,
            (None, _, Some((_, Share::Open))) => Origin::Open,
            (None, Some(saved), None) => match look.of(&saved.inode) {
                None => Origin::Rest(Box::new(saved.clone())),
                Some(plain) if length <= plain.size => settled_or_open(saved.offset, length),
                Some(_) => Origin::Unknown,
            },
            (None, None, None) => Origin::Unknown,
        })
    }

    /// How far files were read that begin as the archive does.
    fn marks(&self, path: &Path, head: &Unpacked) -> Vec<Mark> {
        let read = self.plain_in(path).map(Saved::known_by);
        let formers = self.formers.iter().filter(|former| former.may_be_in(path));
        let known_by = read.chain(formers.map(Former::known_by));
        known_by
            .filter(|(length, evidence)| *length > 0 && evidence.has_head(head.head_of(*length)))
            .map(|(length, evidence)| (length, *evidence))
            .collect()
    }

    /// Files that were read, and are no archives, of which the one at `path` may be made.
    fn plain_in(&self, path: &Path) -> impl Iterator<Item = &Saved> {
        self.memory.all_read().filter(move |saved| {
            saved.packed.is_none() && may_be_copy(Path::new(&saved.path), saved.known_by().0, path)
        })
    }
}

/// Of what is read from elsewhere up to `settled`, an archive that ends at `length` holds nothing else only once all of it is settled: until
/// then, it may be all that is left after a kill.
fn settled_or_open(settled: u64, length: u64) -> Origin {
    if settled >= length { Origin::Copy } else { Origin::Open }
}
