//! Compressed files: which are read through, and which hold what is known already.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rotated::Young;
use super::{Files, nanos_now};
use crate::checkpoint::{Copied, Saved};
use crate::discover::{Found, Kind, is_compressed_name};
use crate::identity::{Evidence, HEAD, Inode};
use crate::reader::archive::{Archive, Unpacked};
use crate::reader::tail::{Former, Tail, may_be_copy, pread_at};

/// An archive rests for so long before it is read: gzip may still be writing it.
const QUIET: Duration = Duration::from_nanos(QUIET_NANOS.cast_unsigned());
const QUIET_NANOS: i64 = 2_000_000_000;

const GZIP: &[u8] = b"\x1f\x8b";
/// How other compressed files begin: bzip2, xz, zstd, lz4, zip.
const OTHERS: [&[u8]; 5] = [
    b"BZh",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"PK\x03\x04",
];
const LONGEST_MAGIC: u64 = 6;

/// What an archive holds.
enum Origin {
    /// What is read already, or is read from elsewhere.
    Copy,
    /// The rest of a file that is gone, or was truncated.
    Rest(Known),
    Unknown,
}

/// Where a file is known from.
#[derive(Debug, Clone, Copy)]
enum Known {
    Closed(usize),
    Former(usize),
}

/// What an archive may hold the rest of.
struct Candidate<'f> {
    place: Known,
    /// So many bytes, and evidence of them.
    known_by: (u64, &'f Evidence),
}

impl Files {
    /// Takes a file as an archive, if it is one by its name and how it begins.
    /// `size_of` tells how long the plain files are that are there.
    pub(super) fn takes_as_archive(&mut self, file: &Found, size_of: &dyn Fn(&Inode) -> Option<u64>) -> bool {
        if file.kind == Kind::Other || !is_compressed_name(&file.path) {
            return false;
        }
        if self.left_out.get(&file.inode) == Some(&file.size)
            || self.archives.iter().any(|known| known.inode == file.inode)
        {
            return true;
        }
        let start = File::open(&file.path).and_then(|file| pread_at(&file, 0, LONGEST_MAGIC));
        // Whoever opens it as a file of lines tells why it cannot be read.
        let Ok(start) = start else { return false };
        if start.starts_with(GZIP) {
            self.consider(file, size_of);
        } else if OTHERS.iter().any(|magic| start.starts_with(magic)) {
            let is_new = self.is_new(file) || self.history.is_some();
            if self.left_out.insert(file.inode, file.size).is_none() && is_new {
                self.pass_over(file, "compressed, and not by gzip");
            }
        } else {
            // One that is empty yet may become one.
            return start.is_empty();
        }
        true
    }

    fn consider(&mut self, file: &Found, size_of: &dyn Fn(&Inode) -> Option<u64>) {
        let known = |saved: &Saved| saved.packed.is_some() && saved.inode.is_likely(&file.inode);
        if let Some(index) = self.closed.iter().position(known) {
            let packed = self.closed[index].packed;
            if packed.is_some_and(|packed| packed.is_finished && packed.size == file.size) {
                self.left_out.insert(file.inode, file.size);
            } else {
                self.resume_archive(file, index);
            }
        } else if self.is_new(file) {
            self.await_archive(file, size_of);
        } else {
            // Of earlier runs, or of a time before the first.
            if self.left_out.insert(file.inode, file.size).is_none() && self.history.is_some() {
                self.pass_over(
                    file,
                    "compressed before the first start; --ignore-older says what is too old",
                );
            }
        }
    }

    fn resume_archive(&mut self, found: &Found, index: usize) {
        let resumed = self.open_in_room(found).and_then(|file| {
            let Some(file) = file else { return Ok(None) };
            let saved = &self.closed[index];
            let size = saved.packed.map_or(0, |packed| packed.size);
            let known = if saved.evidence.agrees(&file, size) {
                Former::of(saved)
            } else {
                Former::unread(found.inode, &found.path, &self.scope)
            };
            Archive::of(known, Arc::new(file), found.inode).map(Some)
        });
        match resumed {
            Ok(Some(archive)) => {
                self.closed.swap_remove(index);
                self.start(archive, &found.path, &found.inode);
            }
            Ok(None) => {}
            Err(error) => self.complain(&found.path, &error),
        }
    }

    /// `known_as` is the file that it is the rest of.
    fn start(&mut self, mut archive: Archive, path: &Path, known_as: &Inode) {
        archive.sent_up_to = self.sent_up_to(known_as);
        tracing::info!(
            path = %path.display(),
            known_as = archive.source.path,
            offset = archive.position,
            "reading what was compressed"
        );
        self.archives.push(archive);
    }

    /// It is held until it rests.
    fn await_archive(&mut self, found: &Found, size_of: &dyn Fn(&Inode) -> Option<u64>) {
        let mut young = self.young.remove(&found.inode).unwrap_or_else(Young::new);
        young.is_archive = true;
        young.path.clone_from(&found.path);
        if young.size != found.size {
            (young.size, young.noticed) = (found.size, Instant::now());
        }
        if young.file.is_none() {
            match self.open_in_room(found) {
                Ok(file) => young.file = file,
                Err(error) => self.complain(&found.path, &error),
            }
        }
        let is_old = nanos_now().saturating_sub(found.modified) >= QUIET_NANOS;
        let rests = is_old || self.is_ending || young.noticed.elapsed() >= QUIET;
        match young.file.take_if(|_| rests) {
            Some(file) => self.begin_archive(young, file, found.inode, size_of),
            None => drop(self.young.insert(found.inode, young)),
        }
    }

    /// Reads an archive from where what it holds is known to, if there is anything new in it.
    pub(super) fn begin_archive(
        &mut self,
        mut young: Young,
        file: File,
        inode: Inode,
        size_of: &dyn Fn(&Inode) -> Option<u64>,
    ) {
        let (file, mut known_as) = (Arc::new(file), inode);
        let begun = self.origin(&young.path, &file, size_of).and_then(|origin| {
            let known = match origin {
                Origin::Copy => return Ok(None),
                Origin::Rest(Known::Closed(index)) => Former::of(&self.closed.swap_remove(index)),
                Origin::Rest(Known::Former(index)) => self.formers.swap_remove(index),
                Origin::Unknown => Former::unread(inode, &young.path, &self.scope),
            };
            known_as = known.inode;
            Archive::of(known, Arc::clone(&file), inode).map(Some)
        });
        let path = young.path.display();
        match begun {
            Ok(Some(archive)) => self.start(archive, &young.path, &known_as),
            Ok(None) => {
                tracing::info!(%path, "compressed, and a copy of what is read: left out");
                self.left_out.insert(inode, young.size);
            }
            // Its head is all there is yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                young.file = Arc::into_inner(file);
                self.young.insert(inode, young);
            }
            Err(error) if error.raw_os_error().is_some() => {
                self.complain(&young.path, &error);
                young.file = Arc::into_inner(file);
                self.young.insert(inode, young);
            }
            Err(error) => {
                tracing::error!(%path, bytes = young.size, %error, "no gzip, whatever its name says: left out, and its lines are lost");
                self.left_out.insert(inode, young.size);
            }
        }
    }

    /// Evidence that cannot tell decides for reading.
    fn origin(&self, path: &Path, file: &Arc<File>, size_of: &dyn Fn(&Inode) -> Option<u64>) -> io::Result<Origin> {
        let mut unpacked = Unpacked::of(file);
        unpacked.advance_to(HEAD)?;
        let mut candidates = self.candidates(path, &unpacked);
        candidates.sort_by_key(|candidate| candidate.known_by.0);
        let mut tails: Vec<&Tail> = self.tails.values().filter(|tail| tail.begins_like(&unpacked)).collect();
        let may_be = |former: &&Former| former.may_be_in(path);
        let mut formers: Vec<&Former> = self.formers.iter().filter(may_be).collect();
        if candidates.is_empty() && tails.is_empty() && formers.is_empty() && self.copies.is_empty() {
            return Ok(Origin::Unknown);
        }
        let (mut unpacked, mut known) = (Unpacked::of(file), None);
        for candidate in candidates {
            let (length, evidence) = candidate.known_by;
            if unpacked.advance_to(length)? && unpacked.agrees(evidence) {
                known = Some(candidate.place);
            }
        }
        unpacked.advance_to(u64::MAX)?;
        let length = unpacked.position;
        // One that is followed may have grown since; but it is not less than what was made of it. Where many say the same, only one that
        // was rotated can have been compressed.
        tails.retain(|tail| length <= tail.size() && (length > HEAD || !tail.is_in_use()) && tail.is_like(&unpacked));
        formers.retain(|former| former.was_all_in(&unpacked));
        let is_copy = |copy: &Copied| {
            copy.size == length && may_be_copy(Path::new(&copy.path), length, path) && unpacked.agrees(&copy.evidence)
        };
        Ok(match known {
            _ if !tails.is_empty() || self.copies.values().any(is_copy) => Origin::Copy,
            Some(Known::Closed(index)) => match size_of(&self.closed[index].inode) {
                None => Origin::Rest(Known::Closed(index)),
                Some(size) if length <= size => Origin::Copy,
                Some(_) => Origin::Unknown,
            },
            Some(former) => Origin::Rest(former),
            None if formers.is_empty() => Origin::Unknown,
            None => Origin::Copy,
        })
    }

    /// Files of which some was read that begins as the archive does.
    fn candidates(&self, path: &Path, head: &Unpacked) -> Vec<Candidate<'_>> {
        let plain = |(_, saved): &(usize, &Saved)| {
            saved.packed.is_none() && may_be_copy(Path::new(&saved.path), saved.known_by().0, path)
        };
        let closed = self.closed.iter().enumerate().filter(plain);
        let closed = closed.map(|(index, saved)| Candidate {
            place: Known::Closed(index),
            known_by: saved.known_by(),
        });
        let formers = self
            .formers
            .iter()
            .enumerate()
            .filter(|(_, former)| former.may_be_in(path));
        let formers = formers.map(|(index, former)| Candidate {
            place: Known::Former(index),
            known_by: former.known_by(),
        });
        let begins = |candidate: &Candidate<'_>| {
            let (length, evidence) = candidate.known_by;
            length > 0 && evidence.has_head(head.head_of(length))
        };
        closed.chain(formers).filter(begins).collect()
    }
}
