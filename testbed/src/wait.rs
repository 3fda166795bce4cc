//! Waiting for an event with a deadline: the clock decides when to give up, never whether a test passes.

use std::time::{Duration, Instant};

/// Generous: only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `probe` until it gives something; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
