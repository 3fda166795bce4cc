//! What a process would say of itself if it ended now: in the termination message all along, not only at the end, since SIGKILL
//! leaves no time to write.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::exit::Failure;
use crate::termination::TerminationLog;

/// The termination message in the making; a clone speaks for the same process.
#[derive(Debug, Clone)]
pub struct LastWords(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    /// `None` for a guest, such as an exec probe: the message belongs to the container's own process.
    log: Option<TerminationLog>,
    so_far: Mutex<String>,
}

impl LastWords {
    /// Nothing is said yet. `name` is the binary's.
    pub fn new(name: &'static str, log: Option<TerminationLog>) -> Self {
        Self(Arc::new(Inner {
            name,
            log,
            so_far: Mutex::default(),
        }))
    }

    /// The binary's.
    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// Replaces the message, if it is another one: what stands there when the process is killed.
    pub fn meanwhile(&self, text: impl Into<String>) {
        let text = text.into();
        let mut so_far = self.0.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        if *so_far == text {
            return;
        }
        self.write(&text);
        *so_far = text;
    }

    /// What was said by [`LastWords::meanwhile`]; empty before that.
    pub fn so_far(&self) -> String {
        self.0.so_far.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the process ends.
    pub(crate) fn end(&self, failure: &Failure) {
        self.write(&failure.to_string());
    }

    fn write(&self, text: &str) {
        let Some(log) = &self.0.log else { return };
        if let Err(error) = log.write(&format!("{}: {}\n", self.0.name, text.trim_end())) {
            tracing::warn!(%error, "cannot write the termination message");
        }
    }
}

/// The file that a command line names, also one that cannot be parsed; the last one counts.
pub(crate) fn named(arguments: &[OsString]) -> Option<PathBuf> {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let mut values =
        texts
            .iter()
            .enumerate()
            .filter_map(|(at, text)| match text.strip_prefix("--termination-log")? {
                "" => texts.get(at + 1).map(|value| value.as_ref()),
                rest => rest.strip_prefix('='),
            });
    values.next_back().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_always_has_the_latest_words_and_is_written_only_for_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        let words = LastWords::new("x-sidecar", Some(TerminationLog::at(&path)));
        assert_eq!(words.so_far(), "");
        words.meanwhile("10 left, of many");
        words.meanwhile("9 left");
        assert_eq!(fs::read_to_string(&path).unwrap(), "x-sidecar: 9 left\n");
        fs::write(&path, "").unwrap();
        words.meanwhile("9 left");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "",
            "the same words were written again"
        );
        assert_eq!(words.so_far(), "9 left");
        words.end(&Failure::failed("lost").remedy("find"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "x-sidecar: lost\nremedy: find\n");
    }

    #[test]
    fn a_guest_writes_nothing() {
        let words = LastWords::new("x-sidecar", None);
        words.meanwhile("heard by nobody");
        words.end(&Failure::failed("neither"));
        assert_eq!(words.so_far(), "heard by nobody");
    }
}
