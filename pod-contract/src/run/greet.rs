//! Readiness waits until a peer has answered once; work does not wait for that.

use std::time::Duration;

use tokio::time::{self, Instant};

use super::backoff::Backoff;
use super::ready::Latch;

/// A peer that comes up is found within this.
const LONGEST: Duration = Duration::from_secs(2);
const FIRST: Duration = Duration::from_millis(250);
/// For one question; a black hole would else take the kernel's two minutes.
const ANSWER: Duration = Duration::from_secs(10);
/// The reason may be another by then.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Asks until there is an answer, says once a minute that there is none yet, and lets go of `latch`, whose name says who is waited for.
pub async fn greet(latch: Latch, mut ask: impl AsyncFnMut() -> Result<(), String>) {
    let mut backoff = Backoff::new(FIRST, LONGEST);
    let mut tell_at = Instant::now();
    let name = latch.name().clone();
    loop {
        let why = match time::timeout(ANSWER, ask()).await {
            Ok(Ok(())) => break,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {ANSWER:?}"),
        };
        if Instant::now() >= tell_at {
            tracing::warn!(why, "the {name} is not there yet; not ready");
            tell_at = Instant::now() + TELL_AGAIN;
        }
        time::sleep(backoff.pause()).await;
    }
    tracing::info!("the {name} is there");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::run::ready::Ready;

    #[tokio::test(start_paused = true)]
    async fn readiness_waits_for_the_first_answer() {
        let ready = Ready::default();
        let (latch, tries) = (ready.latch("sink"), Cell::new(0));
        greet(latch, async || {
            tries.set(tries.get() + 1);
            assert_eq!(ready.waiting(), ["sink".into()]);
            if tries.get() < 4 { Err("refused".into()) } else { Ok(()) }
        })
        .await;
        assert_eq!((tries.get(), ready.waiting()), (4, Vec::new()));
    }
}
