//! What is wrong with one setting, and where it was written.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag(String),
    /// In an environment variable.
    Env(String),
    /// In the configuration file; line and column count from 1.
    File {
        /// The file as given to `--config`.
        path: PathBuf,
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
        /// The key that the value belongs to, if any.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "{name}"),
            Self::Env(name) => write!(f, "${name}"),
            Self::File {
                path,
                line,
                column,
                key,
            } if key.is_empty() => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::File {
                path,
                line,
                column,
                key,
            } => write!(f, "{}:{line}:{column}: {key}", path.display()),
        }
    }
}

/// One mistake, told so that the reader can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: every place that has a part in it.
    pub origins: Vec<Origin>,
    /// What, with the offending text and the accepted form.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, origin) in self.origins.iter().enumerate() {
            write!(f, "{}{origin}", if at == 0 { "" } else { ", " })?;
        }
        let separator = if self.origins.is_empty() { "" } else { ": " };
        write!(f, "{separator}{}", self.message)
    }
}
