//! The content of one file.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::Error;

/// Copies everything from `source` to `target` and returns the number of bytes.
///
/// `std::io::copy` between files lets the kernel do it (`copy_file_range`, `sendfile`), loops on short counts, and falls back to a buffer.
pub(crate) fn content(mut source: &File, mut target: &File, from: &Path, to: &Path) -> Result<u64, Error> {
    io::copy(&mut source, &mut target).map_err(|error| {
        // One call reads and writes; these errors can only come from one side.
        let writing = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let (action, path) = if writing { ("write", to) } else { ("copy", from) };
        Error::Io {
            action,
            path: path.to_owned(),
            error,
        }
    })
}
