//! One piece of a file, read or written.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

use rustix::io::Errno;

use crate::signals::is_stopping;

/// Which side failed.
#[derive(Debug)]
pub(crate) enum Failed {
    Reading(Errno),
    Writing(Errno),
    /// Neither: the process is told to stop.
    Stopped,
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(file.as_fd(), &mut *buffer, at) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> Result<(), Errno> {
    file.write_all_at(bytes, at)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Between two pieces.
pub(super) fn go_on() -> Result<(), Failed> {
    if is_stopping() { Err(Failed::Stopped) } else { Ok(()) }
}
