//! How long an endpoint takes to answer: it follows a rise at once, and a fall by half with each answer. The load balancers of Finagle and
//! linkerd, which call it peak EWMA, let it fade with time instead; then one that hangs looks better with each second, and after a pause
//! whoever was asked first gets nothing of a burst.

use std::time::Duration;

/// The part of the difference that an answer takes away which came sooner than was thought.
const FALL: f64 = 0.5;
/// In seconds; what is below this differs by chance.
const NOISE: f64 = 0.005;
/// One that fails fast is not fast: a failure counts for so many times what was thought, so that one alone makes little difference,
const FAILURE: f64 = 4.0;
/// but a row of them does, up to so many seconds.
const MOST: f64 = 1.0;

/// What is known of how long answers take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Latency {
    /// In seconds.
    level: f64,
}

impl Latency {
    /// An answer took so long.
    pub(crate) fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.level = if took < self.level {
            self.level + (took - self.level) * FALL
        } else {
            took
        };
    }

    /// There was no answer for so long, and nobody waits for it any more.
    pub(crate) fn note_silence(&mut self, lasted: Duration) {
        self.level = self.level.max(lasted.as_secs_f64());
    }

    /// An answer that took so long said that the endpoint failed.
    pub(crate) fn note_failure(&mut self, took: Duration) {
        let counts = (self.level.max(NOISE) * FAILURE).min(MOST);
        self.level = self.level.max(counts).max(took.as_secs_f64());
    }

    /// How long another request would take, in seconds, beside so many that are under way.
    pub(super) fn cost(&self, load: f64) -> f64 {
        self.level.max(NOISE) * (load + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < expected / 100.0
    }

    #[test]
    fn a_rise_counts_at_once_and_a_fall_with_each_answer() {
        let mut latency = Latency::default();
        latency.note(10 * MS);
        assert!(near(latency.cost(0.0), 0.010));
        latency.note(510 * MS);
        assert!(near(latency.cost(0.0), 0.510));
        latency.note(10 * MS);
        assert!(near(latency.cost(0.0), 0.260));
        for _ in 0..15 {
            latency.note(10 * MS);
        }
        assert!(near(latency.cost(0.0), 0.010));
        latency.note_silence(5 * MS);
        assert!(near(latency.cost(0.0), 0.010), "it would have come later");
        latency.note_silence(700 * MS);
        assert!(near(latency.cost(0.0), 0.700));
    }

    #[test]
    fn what_differs_by_chance_makes_no_difference_and_load_does() {
        let [mut one, mut other] = [Latency::default(); 2];
        one.note(MS);
        other.note(4 * MS);
        assert_eq!(one.cost(3.0), other.cost(3.0));
        assert_eq!(
            one.cost(3.0),
            Latency::default().cost(3.0),
            "as one that has not answered yet"
        );
        assert!(near(one.cost(3.0), 4.0 * one.cost(0.0)));
    }

    #[test]
    fn one_failure_is_little_and_a_row_of_them_much() {
        let mut latency = Latency::default();
        latency.note_failure(MS);
        assert!(near(latency.cost(0.0), 0.020));
        latency.note(MS);
        latency.note(MS);
        latency.note(MS);
        assert!(near(latency.cost(0.0), NOISE));
        for _ in 0..10 {
            latency.note_failure(MS);
        }
        assert!(near(latency.cost(0.0), 1.0));
        latency.note_failure(3000 * MS);
        assert!(near(latency.cost(0.0), 3.0));
    }
}
