//! Who has a file open for writing: the kernel gives a lease to read only while nobody has.
//!
//! Source: <https://man7.org/linux/man-pages/man2/F_SETLEASE.2const.html>. It gives them on local file systems, to the owner of the file
//! and to who has `CAP_LEASE`; what is asked of others is [`Writers::Unknown`]. Whoever opens the file for writing while the lease is
//! held waits until it is given back, which is at once; only with `O_NONBLOCK` it gets `EWOULDBLOCK`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::fs::fstatfs;
use tokio::signal::unix::{SignalKind, signal};

use crate::discover::is_remote;

/// Who may still write to a file through a descriptor that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Writers {
    Gone,
    There,
    /// Nobody says.
    #[default]
    Unknown,
}

/// The permission to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leases(());

impl Leases {
    /// # Errors
    /// If SIGIO cannot be handled: the kernel sends it when an `open` meets the lease, and it would end the process.
    pub(crate) fn new() -> io::Result<Self> {
        // The handler stays when this is dropped.
        signal(SignalKind::io()).map(|_| Self(()))
    }

    /// `file` is open for reading alone.
    pub(crate) fn writers(self, file: &File) -> Writers {
        // With NFS, it is the server's word that counts, and it may give leases to nobody.
        if fstatfs(file.as_fd()).is_ok_and(|found| is_remote(&found)) {
            return Writers::Unknown;
        }
        match set(file, libc::F_RDLCK) {
            Ok(()) => {
                if let Err(error) = set(file, libc::F_UNLCK) {
                    tracing::warn!(%error, "cannot give a lease back; it ends with the file");
                }
                Writers::Gone
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Writers::There,
            Err(_) => Writers::Unknown,
        }
    }
}

#[expect(unsafe_code, reason = "no crate has a safe wrapper")]
fn set(file: &File, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the third argument of this command is a number.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writers_are_seen_as_long_as_one_of_them_is_there() {
        let leases = Leases::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let first = File::create(&path).unwrap();
        let second = File::options().append(true).open(&path).unwrap();
        let read = File::open(&path).unwrap();
        assert_eq!(leases.writers(&read), Writers::There);
        drop(first);
        assert_eq!(leases.writers(&read), Writers::There);
        drop(second);
        assert_eq!(leases.writers(&read), Writers::Gone);
        // It was given back: this does not wait.
        File::options().append(true).open(&path).unwrap();
        // What has no name any more can be asked for as well.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(leases.writers(&read), Writers::Gone);
    }

    #[tokio::test]
    async fn of_what_is_no_file_nobody_says() {
        let leases = Leases::new().unwrap();
        assert_eq!(leases.writers(&File::open("/dev/null").unwrap()), Writers::Unknown);
    }
}
