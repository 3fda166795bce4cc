//! Everything that can go wrong, with its exit code and its remedy.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use pod_contract::exit::{FAILED, Failure, OWN};
use pod_contract::explain;

const SOURCE: u8 = OWN;
const NO_SPACE: u8 = OWN + 4;
const DENIED: u8 = OWN + 5;
const CONFLICT: u8 = OWN + 6;

const SPACE_REMEDY: &str =
    "raise the volume's sizeLimit or choose a larger volume; no part of a file was left under its name";

/// Why the copy failed. Whatever has been published by then is whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("source {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("source {} is a {kind}, which is not copied", path.display())]
    Special { path: PathBuf, kind: &'static str },
    #[error("source {} changed while it was copied", .0.display())]
    Changed(PathBuf),
    #[error("source {} would become {}, a name that init-copy keeps for itself", origin.display(), target.display())]
    Reserved { origin: PathBuf, target: PathBuf },
    #[error("source {} holds the destination {}", source_dir.display(), dest.display())]
    IntoItself { source_dir: PathBuf, dest: PathBuf },
    #[error("sources {} and {} would both become {}", first.display(), second.display(), target.display())]
    Collision {
        first: PathBuf,
        second: PathBuf,
        target: PathBuf,
    },
    #[error("{} is a {found} at the destination, and {} is a {brought}", target.display(), origin.display())]
    Conflict {
        target: PathBuf,
        found: &'static str,
        origin: PathBuf,
        brought: &'static str,
    },
    #[error("{needed} bytes are needed at {}, and {free} are free", dest.display())]
    TooLarge { dest: PathBuf, needed: u64, free: u64 },
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        error: io::Error,
    },
}

/// Adds what was attempted, and on which path, to an I/O error.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io {
            action,
            path: path.to_owned(),
            error: error.into(),
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, remedy) = match &error {
            Error::Missing(_) => (
                SOURCE,
                "check the path against the image that carries it; paths in an image are case-sensitive".into(),
            ),
            Error::Special { .. } => (SOURCE, "copy files, directories and symbolic links only".into()),
            Error::Changed(_) => (
                SOURCE,
                "copy from something that nobody writes to at the same time".into(),
            ),
            Error::IntoItself { .. } => (CONFLICT, "choose a destination outside of the source".into()),
            Error::Reserved { .. } => (CONFLICT, "rename it, or copy it into another directory".into()),
            Error::Collision { .. } => (
                CONFLICT,
                "rename one of them, or copy them into different directories".into(),
            ),
            Error::Conflict { .. } => (CONFLICT, "remove it, or choose another destination".into()),
            Error::TooLarge { .. } => (NO_SPACE, SPACE_REMEDY.into()),
            Error::Io {
                action,
                path,
                error: io,
            } => match io.kind() {
                ErrorKind::NotFound if matches!(*action, "read" | "copy" | "look at") => (SOURCE, String::new()),
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => (
                    CONFLICT,
                    "something else stands there; remove it, or choose another destination".into(),
                ),
                ErrorKind::CrossesDevices => (
                    CONFLICT,
                    "another file system is mounted below the destination; copy into it by itself".into(),
                ),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    (NO_SPACE, SPACE_REMEDY.into())
                }
                ErrorKind::ReadOnlyFilesystem => (DENIED, "mount the destination volume without readOnly: true".into()),
                ErrorKind::PermissionDenied => (DENIED, explain::denied(path)),
                _ => (FAILED, String::new()),
            },
        };
        Failure::new(code, error.to_string()).remedy(remedy)
    }
}
