//! What a process would say of itself if it ended now: in the termination message all along, not only at the end, since SIGKILL
//! leaves no time to write.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::start::exit::Failure;
use crate::start::termination::TerminationLog;

/// The termination message in the making; a clone speaks for the same process.
#[derive(Debug, Clone)]
pub struct LastWords(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    /// `None` for a guest, such as an exec probe: the message belongs to the container's own process.
    log: Option<TerminationLog>,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    so_far: String,
    /// The last word is said, and a thread that still works has none.
    ended: bool,
}

impl LastWords {
    /// Nothing is said yet. `name` is the binary's.
    pub fn new(name: &'static str, log: Option<TerminationLog>) -> Self {
        Self(Arc::new(Inner {
            name,
            log,
            said: Mutex::default(),
        }))
    }

    /// The binary's.
    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// What the process is at, such as `waiting for db`: if it is killed now, that it was killed in this is the message.
    pub fn meanwhile(&self, doing: impl Into<String>) {
        let doing = doing.into();
        let mut said = self.said();
        if said.ended || said.so_far == doing {
            return;
        }
        self.write_or_warn(&format!("killed while {doing}"));
        said.so_far = doing;
    }

    /// What the process is at, as it was told last; empty if it never was.
    pub fn so_far(&self) -> String {
        self.said().so_far.clone()
    }

    /// The process ends as it should, with this account.
    pub fn done(&self, account: &str) {
        let mut said = self.said();
        if !std::mem::replace(&mut said.ended, true) {
            self.write_or_warn(account);
        }
    }

    /// Why the process ends. What may still be said by others is not heard any more.
    pub(crate) fn end(&self, failure: &Failure) -> io::Result<()> {
        self.said().ended = true;
        self.write(&failure.to_string())
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_or_warn(&self, text: &str) {
        if let Err(error) = self.write(text) {
            tracing::warn!(%error, "cannot write the termination message");
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match &self.0.log {
            Some(log) => log.write(&format!("{}: {}\n", self.0.name, text.trim_end())),
            None => Ok(()),
        }
    }
}

/// The file that a command line names, also one that cannot be parsed; the last one counts. What looks like a flag is no file.
pub(crate) fn named(arguments: &[OsString]) -> Option<PathBuf> {
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let values = texts
        .iter()
        .enumerate()
        .filter_map(|(at, text)| match text.strip_prefix("--termination-log")? {
            "" => texts.get(at + 1).map(|value| value.as_ref()),
            rest => rest.strip_prefix('='),
        });
    let mut files = values.filter(|value| !value.is_empty() && !value.starts_with('-'));
    files.next_back().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_always_has_the_latest_words_and_is_written_only_for_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        let read = || fs::read_to_string(&path).unwrap();
        let words = LastWords::new("x-sidecar", Some(TerminationLog::at(&path)));
        assert_eq!(words.so_far(), "");
        words.meanwhile("stopping: 10 left, of many");
        words.meanwhile("stopping: 9 left");
        assert_eq!(read(), "x-sidecar: killed while stopping: 9 left\n");
        fs::write(&path, "").unwrap();
        words.meanwhile("stopping: 9 left");
        assert_eq!(read(), "", "the same words were written again");
        assert_eq!(words.so_far(), "stopping: 9 left");
        words.end(&Failure::failed("lost").remedy("find")).unwrap();
        words.meanwhile("stopping: 8 left");
        words.done("stopped");
        assert_eq!(
            read(),
            "x-sidecar: lost\nremedy: find\n",
            "the last word was not the last"
        );
    }

    #[test]
    fn a_good_end_is_the_last_word_but_for_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        let words = LastWords::new("x-sidecar", Some(TerminationLog::at(&path)));
        words.done("stopped: 0 left");
        words.meanwhile("stopping: 1 left");
        assert_eq!(fs::read_to_string(&path).unwrap(), "x-sidecar: stopped: 0 left\n");
        words.end(&Failure::failed("after all")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "x-sidecar: after all\n");
    }

    #[test]
    fn a_guest_writes_nothing() {
        let words = LastWords::new("x-sidecar", None);
        words.meanwhile("heard by nobody");
        words.end(&Failure::failed("neither")).unwrap();
        assert_eq!(words.so_far(), "heard by nobody");
    }

    #[test]
    fn a_file_is_found_in_any_command_line() {
        for (line, file) in [
            ("x", None),
            ("x --termination-log", None),
            ("x --termination-log --include /y", None),
            ("x --termination-log=", None),
            ("x --termination-logs /y", None),
            ("x --termination-log /y --bogus", Some("/y")),
            ("x --bogus --termination-log=/y", Some("/y")),
            ("x --termination-log=/y --termination-log /z", Some("/z")),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(named(&arguments), file.map(PathBuf::from), "{line}");
        }
    }
}
