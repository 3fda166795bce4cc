//! The settings read again while the process runs: at SIGHUP, and when the file has changed, such as that of a mounted `ConfigMap`.
//!
//! What cannot be proved is told, and the process goes on as it is.

use std::future::pending;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::start::cli::Again;

/// The file is compared so often. The kubelet takes up to a minute to bring a change into a volume, so this adds little.
const LOOK: Duration = Duration::from_secs(5);

/// It is as it was for so long before it is read.
const REST: Duration = Duration::from_millis(500);

/// Tells of new settings.
pub struct Reload<'a, C> {
    again: Again<'a, C>,
    hangup: Signal,
    /// A digest of the file as it was read last.
    seen: Option<u64>,
    is_successful: Gauge,
}

impl<'a, C> Reload<'a, C> {
    /// From now on, SIGHUP does not end the process.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub fn new(again: Again<'a, C>) -> io::Result<Self> {
        let is_successful = Gauge::default();
        is_successful.set(1);
        Ok(Self {
            seen: again.file.and_then(digest),
            again,
            hangup: signal(SignalKind::hangup())?,
            is_successful,
        })
    }

    /// Shows whether the last settings that were read are those in use.
    pub fn register(&self, registry: &mut Registry, prefix: &str) {
        let help = "Whether the settings that were read last could be taken.";
        registry.sub_registry_with_prefix(prefix).register(
            "config_last_reload_successful",
            help,
            self.is_successful.clone(),
        );
    }

    /// Waits for settings that are not what they were, and can be proved.
    pub async fn next(&mut self) -> C {
        loop {
            let why = tokio::select! {
                _ = self.hangup.recv() => "SIGHUP",
                () = changed(self.again.file, self.seen) => "the file has changed",
            };
            self.seen = self.again.file.and_then(digest).or(self.seen);
            if self.again.file.is_some_and(|file| digest(file).is_none()) {
                self.is_successful.set(0);
                tracing::error!(why, "the file of --config is empty or away, and the old settings stay");
                continue;
            }
            match (self.again.prove)() {
                Ok(config) => {
                    tracing::info!(why, "the settings are read again");
                    self.is_successful.set(1);
                    return config;
                }
                Err(failure) => {
                    self.is_successful.set(0);
                    tracing::error!(
                        why,
                        "the new settings are not taken, and the old ones stay: {}",
                        failure.cause
                    );
                }
            }
        }
    }

    /// They could be proved, but not used.
    pub fn has_failed(&self) {
        self.is_successful.set(0);
    }
}

/// One that is gone or empty for a moment has not changed, and one that is being written is waited for.
async fn changed(file: Option<&Path>, seen: Option<u64>) {
    let Some(file) = file else {
        return pending().await;
    };
    loop {
        sleep(LOOK).await;
        let now = digest(file);
        if now.is_none() || now == seen {
            continue;
        }
        sleep(REST).await;
        if digest(file) == now {
            return;
        }
    }
}

/// None of an empty one.
fn digest(file: &Path) -> Option<u64> {
    let content = std::fs::read(file).ok().filter(|content| !content.is_empty())?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Some(hasher.finish())
}
