//! Taking up a file that a look has found: what it is, and from where it is read.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Files;
use super::format::Format;
use super::growing::{Growing, is_at_rest};
use super::history::History;
use super::memory::Known;
use crate::checkpoint::Saved;
use crate::discover::{Found, Kind, is_compressed_name};
use crate::identity::Inode;
use crate::reader::former::Former;
use crate::reader::tail::Tail;

/// What there is to do about a file that is not open.
enum Wanted {
    Nothing,
    /// It was read up to here.
    Rest(Box<Saved>),
    /// Nobody knows it.
    All,
}

impl Files {
    /// True when the file, which was not, is read now.
    pub(super) fn take_up(&mut self, found: &Found) -> io::Result<bool> {
        let inode = found.inode;
        if self.archives.iter().any(|archive| archive.inode == inode) {
            return Ok(false);
        }
        if let Some(growing) = self.growing.iter_mut().find(|growing| growing.inode == inode) {
            growing.note(found);
            return Ok(false);
        }
        let saved = match self.wanted(found) {
            Wanted::Nothing => return Ok(false),
            Wanted::Rest(saved) => Some(*saved),
            Wanted::All => None,
        };
        let is_archive = saved
            .as_ref()
            .map_or_else(|| is_compressed_name(&found.path), |saved| saved.packed.is_some());
        let is_history = self
            .history
            .as_ref()
            .is_some_and(|history| history.passes_over_rotated(found));
        if is_archive && !is_history && !self.has_room_for_archive() {
            self.has_more_archives = true;
            return Ok(false);
        }
        let file = match self.young.get(&inode) {
            Some(young) => Some(young.file.try_clone()?),
            None => self.open_in_room(found)?,
        };
        let Some(file) = file else { return Ok(false) };
        let is_open = match Format::of(&file)? {
            // There is nothing to hold yet.
            Format::Empty if saved.is_none() && (is_compressed_name(&found.path) || self.may_be_copy(found)) => false,
            Format::Gzip => {
                self.young.remove(&inode);
                self.take_up_archive(found, file, saved)?
            }
            // It is told once, as it is in the end.
            Format::Packed if !is_at_rest(found.modified) => false,
            Format::Packed => {
                self.young.remove(&inode);
                self.pass_over(found, "compressed, and not by gzip");
                self.memory
                    .note_left_out(inode, &found.path, found.size, found.modified);
                false
            }
            Format::Empty | Format::Text => self.take_up_lines(found, file, saved)?,
        };
        self.unreadable.remove(&found.path);
        Ok(is_open)
    }

    fn wanted(&self, found: &Found) -> Wanted {
        match self.memory.of(&found.inode) {
            Some(Known::Read(saved)) => {
                let is_wanted = match (saved.packed, found.kind) {
                    (Some(packed), _) => {
                        (!packed.is_finished || packed.size != found.size) && is_at_rest(found.modified)
                    }
                    // Under want of file descriptors, a file that is read to its end stays closed until it grows.
                    (None, Kind::Matched) => saved.offset != found.size || self.open_files() < self.capacity,
                    // One of the same size may have been written in its place.
                    (None, Kind::Rotated) => (saved.offset, saved.modified) != (found.size, found.modified),
                    // Read before under a name that was to be read.
                    (None, Kind::Other) => {
                        saved.offset != found.size && self.patterns.kind(saved.path.as_ref()) != Kind::Other
                    }
                };
                if is_wanted {
                    Wanted::Rest(Box::new(saved.clone()))
                } else {
                    Wanted::Nothing
                }
            }
            // Nobody writes to a copy.
            Some(Known::Copy(copy)) if (copy.size, copy.modified) == (found.size, found.modified) => Wanted::Nothing,
            Some(Known::LeftOut(file)) if (file.size, file.modified) == (found.size, found.modified) => Wanted::Nothing,
            _ if found.kind == Kind::Other => Wanted::Nothing,
            _ => Wanted::All,
        }
    }

    fn take_up_archive(&mut self, found: &Found, file: File, saved: Option<Saved>) -> io::Result<bool> {
        if let Some(saved) = saved.filter(|saved| saved.packed.is_some()) {
            return self.resume_archive(found, file, &saved).map(|()| true);
        }
        if self
            .history
            .as_ref()
            .is_some_and(|history| history.passes_over_rotated(found))
        {
            self.pass_over(
                found,
                "compressed before the first start; --ignore-older says what is too old",
            );
            self.memory
                .note_left_out(found.inode, &found.path, found.size, found.modified);
        } else {
            self.memory.forget(&found.inode);
            self.growing.push(Growing::new(found, file));
        }
        Ok(false)
    }

    fn take_up_lines(&mut self, found: &Found, file: File, saved: Option<Saved>) -> io::Result<bool> {
        if let Some(saved) = &saved {
            let (length, evidence) = saved.known_by();
            if found.kind != Kind::Rotated || evidence.agrees(&file, length) {
                return self.follow(found, file, Some(saved));
            }
            // What another copy was written over.
            self.memory.forget(&found.inode);
            self.generations.insert(found.inode.lasting(), saved.generation + 1);
        }
        let says =
            |says: fn(&History, &Found) -> bool| self.history.as_ref().is_some_and(|history| says(history, found));
        let is_rotated = found.kind == Kind::Rotated;
        if is_rotated && says(History::passes_over_rotated) {
            self.pass_over(
                found,
                "rotated before the first start; --ignore-older says what is too old",
            );
            // Should somebody still write to it, that is wanted.
            let path = found.path.to_string_lossy();
            let mut tail = Tail::behind(file, found.inode, &path, &self.scope, found.size)?;
            self.memory.note(Known::Read(tail.saved()));
            return Ok(false);
        }
        let file = if self.may_be_copy(found) {
            self.came_and_went(found, file)
        } else {
            Some(file)
        };
        match file {
            Some(file) => self.follow(found, file, None),
            None => Ok(false),
        }
    }

    /// Also one whose name matches, as `app.log.1` with `app.log*`; at the first look, that is history.
    fn may_be_copy(&self, found: &Found) -> bool {
        let is_young = || self.young.contains_key(&found.inode) || self.may_be_rotated(&found.path);
        found.kind == Kind::Rotated || (!self.first_look && is_young())
    }

    pub(super) fn follow(&mut self, found: &Found, file: File, saved: Option<&Saved>) -> io::Result<bool> {
        let inode = found.inode;
        let path = found.path.to_string_lossy();
        let mut known_as = inode;
        let mut tail = if let Some(saved) = saved {
            let (tail, former) = Tail::resume(file, inode, saved, &self.scope)?;
            if let Some(mut former) = former {
                former.sent = self.sent_up_to(&inode);
                self.ledger.resets.inc();
                tracing::warn!(path = %path, "not the file that the checkpoint knew under this inode: read from its start");
                self.remember(former);
            }
            tail
        } else if let Some(index) = self.former_of(&found.path, &file, &inode) {
            let former = self.formers[index].clone();
            let size = file.metadata()?.len();
            let tail = Tail::adopt(file, inode, former.clone(), &self.scope)?;
            if former.resume_at == former.offset && former.offset > 0 && !tail.holds(&former.evidence) {
                // Written over just now: the next look knows what it is.
                return Ok(false);
            }
            self.formers.swap_remove(index);
            known_as = former.inode;
            self.losses.extend(former.loss(size));
            tail
        } else if found.kind == Kind::Matched && self.history.as_ref().is_some_and(|h| h.passes_over(found)) {
            self.pass_over(found, "there at the first start; followed from its end");
            Tail::at_end(file, inode, &path, &self.scope, self.utf16)?
        } else {
            let generation = self.generations.remove(&inode.lasting()).unwrap_or_default();
            let former = Former::unread(inode, &found.path, &self.scope, generation);
            Tail::adopt(file, inode, former, &self.scope)?
        };
        self.note_begin(found, saved);
        tail.is_found(found.size);
        // Only now: what could not be opened is still known by its position.
        self.memory.forget(&inode);
        tail.matched = found.kind == Kind::Matched;
        tail.sent_up_to = self.sent_up_to(&known_as);
        if let Some(zone) = self.times.zone {
            tail.wind(zone, self.utf16)?;
        }
        tracing::info!(path = %path, known_as = tail.source.path, offset = tail.frontier.settled(), "reading");
        self.tails.insert(inode, tail);
        Ok(true)
    }

    fn former_of(&self, path: &Path, file: &File, inode: &Inode) -> Option<usize> {
        let size = file.metadata().map_or(0, |meta| meta.len());
        let lives_on = |former: &Former| former.may_be_in(path) && former.lives_on_in(file, inode, size);
        self.formers.iter().position(lives_on)
    }

    /// The file that was found, if one more may be open; not another that has its name by now.
    fn open_in_room(&mut self, found: &Found) -> io::Result<Option<File>> {
        self.make_room()?;
        match File::open(&found.path) {
            Ok(file) if Inode::of(&file)? == found.inode => Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.has_missed = true;
                Ok(None)
            }
        }
    }
}
