//! The one table of exit codes, and the error that carries one.

use std::fmt;

/// Done, or stopped cleanly on request.
pub const DONE: u8 = 0;
/// The work failed; the cause is in the log and in the termination message.
pub const FAILED: u8 = 1;
/// Bad flags or configuration: a restart with the same settings fails again.
pub const USAGE: u8 = 2;
/// The first code that a binary may define for itself.
pub const OWN: u8 = 10;

/// Why a process ends: what happened and what the reader can do about it.
#[derive(Debug)]
pub struct Failure {
    /// Exit code, one of this module's or the binary's own from [`OWN`] up.
    pub code: u8,
    /// What failed, with which input, and why. Lower case, no final dot.
    pub cause: String,
    /// What to change; empty when there is nothing to say beyond the cause.
    pub remedy: String,
}

impl Failure {
    /// A failure with exit code [`FAILED`] and no remedy.
    pub fn failed(cause: impl Into<String>) -> Self {
        Self::new(FAILED, cause)
    }

    /// A failure with a code of the binary's own.
    pub fn new(code: u8, cause: impl Into<String>) -> Self {
        Self {
            code,
            cause: cause.into(),
            remedy: String::new(),
        }
    }

    /// The same failure with advice for the reader.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        if !self.remedy.is_empty() {
            write!(f, "\nremedy: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
