//! Why a file, or a directory, cannot be read: told once for each reason, with what to do about it.

use std::io;
use std::path::Path;

use pod_contract::start::explain;
use rustix::io::Errno;

#[derive(Debug, Default)]
pub(super) struct Trouble(Option<String>);

impl Trouble {
    pub(super) fn tell(&mut self, path: &Path, error: &io::Error) {
        let text = error.to_string();
        if self.0.as_ref() == Some(&text) {
            return;
        }
        self.0 = Some(text);
        let errno = Errno::from_io_error(error);
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => explain::denied(path),
            _ if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) => {
                "raise this container's limit of open files; it is tried again".to_owned()
            }
            _ => "it is tried again as long as it is there".to_owned(),
        };
        tracing::error!(path = %path.display(), %error, remedy, "cannot read a file that matches, or its directory");
    }

    pub(super) fn is_over(&mut self) {
        self.0 = None;
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }
}
