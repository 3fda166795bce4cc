//! Why a benchmark could not be run, or was not worth counting.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Said by the measuring process, and passed on by the one that asked it.
    #[error("the program {how}")]
    Ended { how: String },
    #[error("`{command}` {how}{}", indented(stderr))]
    Failed {
        command: String,
        how: String,
        stderr: String,
    },
    #[error("wrong work by `{command}`: {difference}")]
    WrongWork { command: String, difference: String },
    #[error("cannot read {}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("\n    {line}")).collect()
}

/// Says what was done with which path when it failed.
pub(crate) trait During<T> {
    fn during(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.to_owned(),
            source,
        })
    }
}
