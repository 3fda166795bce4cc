//! Pauses between tries, and what was told of them: each state once.

use std::time::Duration;

use pod_contract::run::backoff::Backoff;

/// The first pause between two tries.
const FIRST: Duration = Duration::from_millis(250);

pub(super) struct Pause {
    backoff: Backoff,
    max: Duration,
    told: Option<String>,
}

impl Pause {
    pub(super) fn new(max: Duration) -> Self {
        Self {
            backoff: Backoff::new(FIRST, max),
            max,
            told: None,
        }
    }

    /// How long to wait before the next try of `records`, not before `after`, which the sink asked for; no longer than the longest.
    pub(super) fn next(&mut self, why: &str, records: usize, after: Option<Duration>) -> Duration {
        let pause = self.backoff.pause().max(after.unwrap_or_default().min(self.max));
        if self.told.as_deref() != Some(why) {
            tracing::warn!(
                why,
                records,
                ?pause,
                "the sink did not take everything; trying again until it does"
            );
            self.told = Some(why.to_owned());
        }
        pause
    }

    /// Some progress: the sink is well, and what is left waits no longer than at first.
    pub(super) fn restart(&mut self) {
        self.backoff = Backoff::new(FIRST, self.max);
    }

    pub(super) fn done(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the sink takes records again");
        }
    }
}
