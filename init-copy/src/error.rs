//! Everything that can go wrong, with its exit code and its remedy.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use pod_contract::start::exit::{FAILED, Failure, OWN};
use pod_contract::start::explain;
use rustix::io::Errno;

/// What was asked for cannot be meant.
pub(crate) const USAGE: u8 = pod_contract::start::exit::USAGE;
/// The source is missing, of a kind that is not copied, or changing.
pub(crate) const SOURCE: u8 = OWN;
/// The content is not the one that was asked for.
pub(crate) const DIGEST: u8 = OWN + 1;
/// A server cannot be reached, or answers nonsense, for too long.
pub(crate) const NETWORK: u8 = OWN + 2;
/// A server wants other credentials.
pub(crate) const AUTH: u8 = OWN + 3;
/// No space, or a limit of ours.
pub(crate) const NO_SPACE: u8 = OWN + 4;
/// Permission, or a read-only file system.
pub(crate) const DENIED: u8 = OWN + 5;
/// Something else stands at the destination.
pub(crate) const CONFLICT: u8 = OWN + 6;
/// The deadline passed.
pub(crate) const DEADLINE: u8 = OWN + 7;
/// An archive or artifact that is damaged or dangerous.
pub(crate) const UNSAFE: u8 = OWN + 8;

const SPACE_REMEDY: &str =
    "raise the volume's sizeLimit or choose a larger volume; no part of a file was left under its name";

const OWNER_REMEDY: &str = "only root may give files to another user: leave out --owner, and let fsGroup or --mode g+rwX open them to \
                            others; or run this container as root, with the capability CHOWN";

const ELSE_REMEDY: &str = "something else stands there; remove it, or choose another destination";

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
    /// Nobody reads this: who told it to stop is told what it was at.
    #[error("told to stop")]
    Stopped,
    /// A cause that says all by itself.
    #[error("{}", .0.cause)]
    Other(Failure),
}

impl Error {
    /// A failure with one of the codes above.
    pub(crate) fn new(code: u8, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Other(Failure::new(code, cause).remedy(remedy))
    }

    /// Is it for want of space?
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Self::TooLarge { .. } => true,
            Self::Io { action, path, error } => of_io(action, path, error).0 == NO_SPACE,
            Self::Other(failure) => failure.code == NO_SPACE,
            _ => false,
        }
    }
}

/// Adds what was attempted, and on which path, to an I/O error.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error>;

    /// The same, where the path is put together for the error only.
    fn at_path(self, action: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io {
            action,
            path: path.to_owned(),
            error: error.into(),
        })
    }

    fn at_path(self, action: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, Error> {
        self.map_err(|error| Error::Io {
            action,
            path: path(),
            error: error.into(),
        })
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
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
            } => of_io(action, path, io),
            Error::Stopped => (FAILED, String::new()),
            Error::Other(failure) => (failure.code, failure.remedy.clone()),
        };
        Self::new(code, error.to_string()).remedy(remedy)
    }
}

fn of_io(action: &str, path: &Path, error: &io::Error) -> (u8, String) {
    match error.kind() {
        // Something put a link where a directory should be: io::ErrorKind has no stable name for ELOOP.
        _ if Errno::from_io_error(error) == Some(Errno::LOOP) => (CONFLICT, ELSE_REMEDY.into()),
        ErrorKind::NotFound if matches!(action, "read" | "copy" | "look at") => (SOURCE, String::new()),
        ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::IsADirectory
        | ErrorKind::DirectoryNotEmpty => (CONFLICT, ELSE_REMEDY.into()),
        ErrorKind::CrossesDevices => (
            CONFLICT,
            "another file system is mounted below the destination; copy into it by itself".into(),
        ),
        ErrorKind::ResourceBusy => (
            CONFLICT,
            "it is a mount point, which cannot be replaced; choose a directory below it, or --publish rename".into(),
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => (NO_SPACE, SPACE_REMEDY.into()),
        ErrorKind::ReadOnlyFilesystem => (DENIED, "mount the destination volume without readOnly: true".into()),
        // The owner of a file may do all of that to it but give it away.
        ErrorKind::PermissionDenied if action == "set the attributes of" => (DENIED, OWNER_REMEDY.into()),
        ErrorKind::PermissionDenied => (DENIED, explain::denied(path)),
        _ => (FAILED, String::new()),
    }
}
