//! The termination message: what `kubectl describe` shows of a container that ended.
//!
//! Kubernetes bind-mounts the file, so it is written in place: a rename over a mount point fails.
//! <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Kubernetes cuts a longer message.
pub const MAX_BYTES: usize = 4096;
/// Where Kubernetes looks unless the pod spec sets `terminationMessagePath`.
pub const DEFAULT_PATH: &str = "/dev/termination-log";

/// Where the last words go.
#[derive(Debug, Clone)]
pub struct TerminationLog {
    path: PathBuf,
    /// Named by the user: then the file is created, and a failure is an error.
    explicit: bool,
}

impl TerminationLog {
    /// The file that the user named, created if missing.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            explicit: true,
        }
    }

    /// The default file, used only where something (Kubernetes) has put it.
    pub fn default_path() -> Self {
        Self {
            path: PathBuf::from(DEFAULT_PATH),
            explicit: false,
        }
    }

    /// Writes `message`, cut to [`MAX_BYTES`] at a character boundary.
    pub fn write(&self, message: &str) -> io::Result<()> {
        match open(&self.path, self.explicit).and_then(|mut file| file.write_all(cut(message).as_bytes())) {
            Err(_) if !self.explicit => Ok(()),
            other => other,
        }
    }
}

fn open(path: &Path, create: bool) -> io::Result<std::fs::File> {
    OpenOptions::new().write(true).truncate(true).create(create).open(path)
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_cut_at_the_limit_and_never_inside_a_character() {
        for (length, kept) in [
            (MAX_BYTES - 1, MAX_BYTES - 1),
            (MAX_BYTES, MAX_BYTES),
            (MAX_BYTES + 1, MAX_BYTES),
        ] {
            assert_eq!(cut(&"x".repeat(length)).len(), kept);
        }
        let wide = format!("{}é", "x".repeat(MAX_BYTES - 1));
        assert_eq!(cut(&wide).len(), MAX_BYTES - 1);
    }

    #[test]
    fn overwrites_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        std::fs::write(&path, "a long earlier message").unwrap();
        let link = dir.path().join("hardlink");
        std::fs::hard_link(&path, &link).unwrap();
        TerminationLog::at(&path).write("short").unwrap();
        assert_eq!(
            std::fs::read_to_string(&link).unwrap(),
            "short",
            "the same inode was written"
        );
    }

    #[test]
    fn a_missing_default_is_no_error_but_a_named_one_that_cannot_be_written_is() {
        let absent = TerminationLog {
            path: "/nonexistent/termination-log".into(),
            explicit: false,
        };
        absent.write("x").unwrap();
        TerminationLog::at("/nonexistent/termination-log")
            .write("x")
            .unwrap_err();
    }
}
