//! The termination message: what `kubectl describe` shows of a container that ended.
//!
//! Kubernetes bind-mounts the file, so it is written in place: a rename over a mount point fails.
//! <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
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
        let path = path.into();
        Self {
            explicit: path != Path::new(DEFAULT_PATH),
            path,
        }
    }

    /// The default file, used only where something (Kubernetes) has put it.
    pub fn default_path() -> Self {
        Self {
            path: PathBuf::from(DEFAULT_PATH),
            explicit: false,
        }
    }

    /// Writes `message`, cut to [`MAX_BYTES`] at a character boundary, in place of an earlier one.
    ///
    /// Whenever the process is killed, the file has one or the other whole: the new one is written over the old one before the rest of
    /// that is cut off.
    pub fn write(&self, message: &str) -> io::Result<()> {
        match write_over(&self.path, self.explicit, cut(message).as_bytes()) {
            Err(_) if !self.explicit => Ok(()),
            other => other,
        }
    }
}

fn write_over(path: &Path, create: bool, message: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(create)
        .truncate(false)
        .open(path)?;
    let before = usize::try_from(file.metadata()?.len())
        .unwrap_or(usize::MAX)
        .min(MAX_BYTES);
    let mut text = message.to_vec();
    // What is longer than ever written here is nobody's message of ours: it is cut off like the rest.
    text.resize(message.len().max(before), b'\n');
    file.write_all_at(&text, 0)?;
    file.set_len(message.len() as u64)
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
