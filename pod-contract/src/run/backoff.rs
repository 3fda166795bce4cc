//! How long to wait before the next try. No clock, no I/O.

use std::time::Duration;

/// A pause that is shorter is none.
const LEAST: Duration = Duration::from_millis(10);

/// Pauses below a ceiling that doubles, with jitter: many pods that start together do not ask together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// The first pause is at most `first`, any later one at most `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let longest = longest.max(LEAST);
        let first = first.clamp(LEAST, longest);
        Self {
            first,
            longest,
            ceiling: first,
        }
    }

    /// The next pause: from a tenth of the ceiling, so that it is never a busy loop, to all of it. `jitter` is from 0 to 1.
    pub fn pause_with(&mut self, jitter: f64) -> Duration {
        let pause = self.ceiling.mul_f64(0.1 + 0.9 * jitter.clamp(0.0, 1.0));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.longest);
        pause
    }

    /// The next pause, with a jitter of its own.
    pub fn pause(&mut self) -> Duration {
        self.pause_with(fastrand::f64())
    }

    /// Something was gained: pauses are short again.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let mut pauses = |jitter| backoff.pause_with(jitter).as_millis();
        assert_eq!([1.0; 5].map(&mut pauses), [500, 1000, 2000, 3000, 3000]);
        assert_eq!(pauses(0.0), 300);
        backoff.reset();
        assert_eq!(backoff.pause_with(1.0).as_millis(), 500);
        assert_eq!(
            Backoff::new(Duration::from_secs(9), Duration::from_secs(2))
                .pause_with(1.0)
                .as_secs(),
            2
        );
    }

    proptest! {
        #[test]
        fn a_pause_is_never_none_and_never_too_long(first in 0_u64..10_000, longest in 0_u64..100_000, jitters in prop::collection::vec(0.0..=1.0, 1..50)) {
            let mut backoff = Backoff::new(Duration::from_millis(first), Duration::from_millis(longest));
            let longest = Duration::from_millis(longest).max(LEAST);
            let first = Duration::from_millis(first).clamp(LEAST, longest);
            for jitter in jitters {
                let pause = backoff.pause_with(jitter);
                prop_assert!(pause >= first.min(longest) / 11 && pause <= longest, "{pause:?}");
            }
        }
    }
}
