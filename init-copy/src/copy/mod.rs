//! The content of one file, by the cheapest way that the two file systems allow.
//!
//! ```text
//! no digest wanted:  reflink ─▶ copy_file_range ─▶ read and write      (the first that works; what failed is not tried again)
//! digest wanted:     read ─▶ hash on a second thread, write on this one
//! holes are kept:    only data is copied when the source has fewer blocks than bytes
//! ```

mod hashed;
mod piece;

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, copy_file_range, fstat, ftruncate, ioctl_ficlone, seek};
use rustix::io::Errno;

pub(crate) use piece::Failed;
use piece::{go_on, read_at, write_at};

use crate::content::BUFFER;
use crate::content::checksum::Hasher;
use crate::progress::Progress;

/// Up to here, one read and one write beat asking the kernel for more.
const SMALL: u64 = 64 << 10;
/// Bytes that one call may copy: progress is seen in between, and no kernel has cut such a call short wrongly.
const STRIDE: usize = 64 << 20;

/// Copies files; remembers what the file systems at hand do not support.
#[derive(Debug)]
pub(crate) struct Engine<'p> {
    progress: &'p Progress,
    no_reflink: AtomicBool,
    no_range: AtomicBool,
}

impl<'p> Engine<'p> {
    pub(crate) fn new(progress: &'p Progress) -> Self {
        Self {
            progress,
            no_reflink: AtomicBool::new(false),
            no_range: AtomicBool::new(false),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        self.progress
    }

    /// Copies what `source` holds, `size` bytes at most, and returns how many they were. `target` is empty.
    pub(crate) fn copy(&self, source: &File, size: u64, target: &File, scratch: &mut Vec<u8>) -> Result<u64, Failed> {
        if size <= SMALL {
            return self.stretch(source, target, 0, size, scratch);
        }
        if self.reflink(source, target) {
            self.progress.add(size);
            return Ok(size);
        }
        let blocks = fstat(source).map_err(Failed::Reading)?.st_blocks;
        if blocks.unsigned_abs().saturating_mul(512) < size {
            self.sparse(source, target, size, scratch)
        } else {
            self.range(source, target, 0, size, scratch)
        }
    }

    /// The same, with the digest of what was written.
    pub(crate) fn copy_hashed(
        &self,
        source: &File,
        target: &File,
        size: u64,
        hasher: Hasher,
    ) -> Result<(u64, Vec<u8>), Failed> {
        hashed::copy(source, target, size, hasher, self.progress)
    }

    fn reflink(&self, source: &File, target: &File) -> bool {
        if self.no_reflink.load(Ordering::Relaxed) {
            return false;
        }
        let cloned = ioctl_ficlone(target, source).is_ok();
        // A refusal may be about this one file, such as one on another file system; then copying it is no loss.
        self.no_reflink.fetch_or(!cloned, Ordering::Relaxed);
        cloned
    }

    /// Data only, between the holes.
    fn sparse(&self, source: &File, target: &File, size: u64, scratch: &mut Vec<u8>) -> Result<u64, Failed> {
        ftruncate(target, size).map_err(Failed::Writing)?;
        let mut at = 0;
        while at < size {
            let data = match seek(source, SeekFrom::Data(at)) {
                Ok(data) => data.min(size),
                // No data up to the end.
                Err(Errno::NXIO) => size,
                Err(_) => return self.range(source, target, at, size, scratch),
            };
            self.progress.add(data - at);
            if data == size {
                break;
            }
            let hole = seek(source, SeekFrom::Hole(data)).map_or(size, |hole| hole.min(size));
            if self.range(source, target, data, hole, scratch)? < hole {
                return Ok(hole);
            }
            at = hole;
        }
        Ok(size)
    }

    /// Copies `from..to` and returns where it ended.
    fn range(&self, source: &File, target: &File, from: u64, to: u64, scratch: &mut Vec<u8>) -> Result<u64, Failed> {
        let mut at = from;
        while at < to && !self.no_range.load(Ordering::Relaxed) {
            go_on()?;
            let (mut in_at, mut out_at) = (at, at);
            let length = usize::try_from(to - at).unwrap_or(STRIDE).min(STRIDE);
            match copy_file_range(source, Some(&mut in_at), target, Some(&mut out_at), length) {
                // Nothing before the end: some file systems answer so instead of refusing. Reading tells whether it is the end.
                Ok(0) => break,
                Ok(copied) => {
                    at += copied as u64;
                    self.progress.add(copied as u64);
                }
                Err(Errno::INTR) => {}
                Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => return Err(Failed::Writing(e)),
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                    self.no_range.store(true, Ordering::Relaxed);
                }
                Err(_) => break,
            }
        }
        self.stretch(source, target, at, to, scratch)
    }

    fn stretch(&self, source: &File, target: &File, from: u64, to: u64, scratch: &mut Vec<u8>) -> Result<u64, Failed> {
        let mut at = from;
        while at < to {
            go_on()?;
            let most = usize::try_from(to - at).unwrap_or(BUFFER).min(BUFFER);
            if scratch.len() < most {
                scratch.resize(most, 0);
            }
            let read = read_at(source, &mut scratch[..most], at).map_err(Failed::Reading)?;
            if read == 0 {
                break;
            }
            write_at(target, &scratch[..read], at).map_err(Failed::Writing)?;
            at += read as u64;
            self.progress.add(read as u64);
        }
        Ok(at)
    }
}
