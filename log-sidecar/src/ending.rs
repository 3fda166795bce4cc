//! What ends a run beside SIGTERM: for a Job, in which nobody sends one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pod_contract::config::Setting;

use crate::ledger::Ledgers;

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Once this is so, all is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExitWhen {
    /// This file is there.
    File(PathBuf),
    /// Something was written, and nobody is left who could write more.
    WritersGone,
}

impl ExitWhen {
    const WRITERS_GONE: &'static str = "writers-gone";

    /// Waits until it is so.
    pub(crate) async fn holds(&self, ledgers: &Ledgers) {
        while !self.is_so(ledgers) {
            tokio::time::sleep(LOOK).await;
        }
        match self {
            Self::File(path) => tracing::info!(path = %path.display(), "the file of --exit-when is there"),
            Self::WritersGone => tracing::info!("nobody writes any more"),
        }
    }

    fn is_so(&self, ledgers: &Ledgers) -> bool {
        match self {
            Self::File(path) => path.exists(),
            Self::WritersGone => ledgers.have_no_writers_left(),
        }
    }
}

impl Setting for ExitWhen {
    const FORM: &'static str = "writers-gone, or the absolute path of a file";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            Self::WRITERS_GONE => Ok(Self::WritersGone),
            _ if Path::new(text).is_absolute() => Ok(Self::File(text.into())),
            _ => Err("it is neither".into()),
        }
    }
}
