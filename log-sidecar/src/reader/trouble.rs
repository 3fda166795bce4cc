//! Why a file, or a directory, cannot be read: told once for each reason, with what to do about it.

use std::io;
use std::path::Path;

use pod_contract::start::explain;
use rustix::io::Errno;

#[derive(Debug, Default)]
pub(super) struct Trouble {
    told: Option<String>,
    /// As many files are open as may be: that ends without anybody's doing.
    is_want_of_room: bool,
}

impl Trouble {
    pub(super) fn tell(&mut self, path: &Path, error: &io::Error) {
        let errno = Errno::from_io_error(error);
        self.is_want_of_room = matches!(errno, Some(Errno::MFILE | Errno::NFILE));
        let text = error.to_string();
        if self.told.as_ref() == Some(&text) {
            return;
        }
        self.told = Some(text);
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => explain::denied(path),
            _ if self.is_want_of_room => "raise this container's limit of open files; it is tried again".to_owned(),
            _ => "it is tried again as long as it is there".to_owned(),
        };
        tracing::error!(path = %path.display(), %error, remedy, "cannot read a file that matches, or its directory");
    }

    pub(super) fn is_over(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_there(&self) -> bool {
        self.told.is_some()
    }

    pub(super) fn is_want_of_room(&self) -> bool {
        self.is_want_of_room
    }
}
