//! How long an endpoint takes. It follows a rise at once, a fall with each answer, and fades when there are none, so that a slow one is tried
//! again some day. After the load balancers of Finagle and linkerd, which call it peak EWMA; there, a fall takes time only, and one hiccup of
//! the proxy's own processor time, of which a sidecar has little, keeps an endpoint out for half a minute.

use std::time::Duration;

use tokio::time::Instant;

/// After this, what was seen counts for a third (1/e).
const DECAY: Duration = Duration::from_secs(10);
/// The part of the difference that an answer takes away which came sooner than was thought.
const FALL: f64 = 0.25;
/// In seconds; what is below this differs by chance.
const NOISE: f64 = 0.005;
/// Of one that has a request and has not answered any yet, in seconds.
const UNKNOWN: f64 = 1.0;
/// What an answer counts for, at least, that says that the endpoint failed: one that fails fast is not fast.
const FAILURE: Duration = Duration::from_secs(1);

/// What is known of how long answers take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Latency(Option<Seen>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    /// In seconds.
    level: f64,
    at: Instant,
}

impl Latency {
    /// An answer took so long.
    pub(crate) fn note(&mut self, took: Duration, now: Instant) {
        let (took, thought) = (took.as_secs_f64(), self.0.map_or(0.0, |seen| seen.faded(now)));
        let level = if took < thought {
            thought + (took - thought) * FALL
        } else {
            took
        };
        self.0 = Some(Seen { level, at: now });
    }

    /// The endpoint failed, after so long.
    pub(crate) fn note_failure(&mut self, took: Duration, now: Instant) {
        self.note(took.max(FAILURE), now);
    }

    /// How long another request would take, in seconds, beside those under way. What is long ago counts for little, so a slow one is tried again.
    pub(super) fn cost(&self, in_flight: usize, now: Instant) -> f64 {
        match self.0 {
            None if in_flight == 0 => 0.0,
            None => UNKNOWN * in_flight as f64,
            Some(seen) => seen.faded(now).max(NOISE) * (in_flight + 1) as f64,
        }
    }
}

impl Seen {
    /// What is left of it.
    fn faded(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        self.level * (-passed.as_secs_f64() / DECAY.as_secs_f64()).exp()
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
        let (now, mut latency) = (Instant::now(), Latency::default());
        latency.note(10 * MS, now);
        assert!(near(latency.cost(0, now), 0.010));
        latency.note(510 * MS, now);
        assert!(near(latency.cost(0, now), 0.510));
        latency.note(10 * MS, now);
        assert!(near(latency.cost(0, now), 0.385));
        for _ in 0..20 {
            latency.note(10 * MS, now);
        }
        assert!(latency.cost(0, now) < 0.012);
    }

    #[test]
    fn who_is_left_alone_is_tried_again_some_day() {
        let (now, mut latency) = (Instant::now(), Latency::default());
        latency.note(Duration::from_secs(30), now);
        assert!(near(latency.cost(0, now + DECAY), 30.0 / std::f64::consts::E));
        assert!(latency.cost(0, now + 10 * DECAY) < 0.010);
    }

    #[test]
    fn what_differs_by_chance_makes_no_difference() {
        let (now, [mut one, mut other]) = (Instant::now(), [Latency::default(); 2]);
        one.note(MS, now);
        other.note(4 * MS, now);
        assert_eq!(one.cost(3, now), other.cost(3, now));
    }

    #[test]
    fn what_is_under_way_counts() {
        let (now, mut latency) = (Instant::now(), Latency::default());
        assert!(
            near(latency.cost(2, now), 2.0),
            "one that has not answered yet is not flooded"
        );
        latency.note(10 * MS, now);
        assert!(near(latency.cost(4, now), 0.050));
    }

    #[test]
    fn one_that_fails_fast_is_not_fast() {
        let (now, mut latency) = (Instant::now(), Latency::default());
        latency.note_failure(MS, now);
        assert!(near(latency.cost(0, now), 1.0));
        latency.note_failure(3000 * MS, now);
        assert!(near(latency.cost(0, now), 3.0));
    }
}
