//! What failures say about an endpoint. It rests, longer each time; then one try tells whether it is back. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// Connections that broke off in a row before an endpoint is thought down: one request may have crashed one worker of it.
const BROKEN_OFF_IN_A_ROW: u32 = 3;

/// Of the first request that tries an endpoint which was silent.
const PATIENCE: Duration = Duration::from_secs(2);
/// After its rest, an endpoint is tried by a request that could go elsewhere after that. If none comes for so long, any will do.
const OVERDUE: Duration = Duration::from_secs(10);

/// What was seen of an endpoint that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// No connection.
    Unreachable,
    /// A connection, and no answer in time.
    Silent,
    /// A connection that ended before the answer.
    BrokenOff,
}

impl Evidence {
    /// Does a connection that stands refute it, on which the endpoint has `spoken` or not?
    pub(crate) fn is_refuted_by(self, spoken: bool) -> bool {
        match self {
            Self::Unreachable => true,
            Self::BrokenOff => spoken,
            Self::Silent => false,
        }
    }

    /// The first and the longest rest. To ask whether it takes a connection costs no client anything; whether it answers does.
    fn rests(self) -> (Duration, Duration) {
        match self {
            Self::Unreachable => (Duration::from_millis(200), Duration::from_secs(5)),
            Self::Silent => (Duration::from_secs(2), Duration::from_secs(60)),
            Self::BrokenOff => (Duration::from_millis(500), Duration::from_secs(15)),
        }
    }
}

/// May it be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Well,
    /// It has rested: one try may tell. If it is `overdue`, nobody has tried who could afford that.
    Due {
        evidence: Evidence,
        overdue: bool,
    },
    /// It rests, or is being tried.
    Out,
    /// It does not pass its check, and is used when nobody does.
    Unfit,
    /// It does not pass its check, and is not to be used.
    Barred,
}

/// Passive health of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    broken_off: u32,
    /// How often it has rested because it breaks connections off, since it answered last.
    relapses: u32,
    probes: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    evidence: Evidence,
    trips: u32,
    /// The end of the rest. Tries that began before have nothing to add: however many were under way, they saw one failure.
    rested: Instant,
    /// The number of the one try, while it is under way.
    probing: Option<u64>,
}

impl Breaker {
    /// The clock is asked only when there is something to compare.
    pub(crate) fn standing(&self, now: impl FnOnce() -> Instant) -> Standing {
        match &self.open {
            None => Standing::Well,
            Some(open) if open.probing.is_some() => Standing::Out,
            Some(open) => match now().checked_duration_since(open.rested) {
                None => Standing::Out,
                Some(due) => Standing::Due {
                    evidence: open.evidence,
                    overdue: due >= OVERDUE,
                },
            },
        }
    }

    /// The one try begins; its number, when there is none yet.
    pub(crate) fn probe(&mut self) -> Option<u64> {
        let open = self.open.as_mut().filter(|open| open.probing.is_none())?;
        self.probes += 1;
        open.probing = Some(self.probes);
        open.probing
    }

    /// The try of this number has ended. If it has told nothing, there may be another one.
    pub(crate) fn probed(&mut self, number: u64) {
        if let Some(open) = &mut self.open {
            open.probing.take_if(|probing| *probing == number);
        }
    }

    /// How long a request waits for the answer that tells, before it goes elsewhere: longer each time, for some are well and slow.
    pub(crate) fn patience(&self) -> Duration {
        let trips = self.open.as_ref().map_or(0, |open| open.trips);
        PATIENCE.saturating_mul(1 << trips.min(10))
    }

    /// A try that began at `began` failed; true when the endpoint was thought well until now. `jitter`: from 0 to 1.
    pub(crate) fn failed(&mut self, evidence: Evidence, began: Instant, now: Instant, jitter: f64) -> bool {
        if evidence == Evidence::BrokenOff && self.open.is_none() {
            self.broken_off += 1;
            if self.broken_off < BROKEN_OFF_IN_A_ROW {
                return false;
            }
        }
        let trips = match &self.open {
            Some(open) if began < open.rested => return false,
            Some(open) if open.evidence == evidence => open.trips + 1,
            None if evidence == Evidence::BrokenOff => self.relapses,
            _ => 0,
        };
        let (first, longest) = evidence.rests();
        let rest = first.saturating_mul(1 << trips.min(10)).min(longest);
        let rested = now + rest.mul_f64(0.9 + 0.2 * jitter);
        let open = Open {
            evidence,
            trips,
            rested,
            probing: None,
        };
        self.open.replace(open).is_none()
    }

    /// It answered; true when it was thought down until now.
    pub(crate) fn succeeded(&mut self) -> bool {
        (self.broken_off, self.relapses) = (0, 0);
        self.open.take().is_some()
    }

    /// It took a connection, which refutes only that it takes none; if it has also `spoken` on it, that it breaks connections off. True when
    /// it was thought down for that until now.
    pub(crate) fn connected(&mut self, spoken: bool) -> bool {
        let refuted = self.open.take_if(|open| open.evidence.is_refuted_by(spoken));
        // It may speak well, and break off with the next request all the same: only an answer clears that.
        if let Some(Open {
            evidence: Evidence::BrokenOff,
            trips,
            ..
        }) = refuted
        {
            (self.broken_off, self.relapses) = (BROKEN_OFF_IN_A_ROW - 1, trips + 1);
        }
        refuted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVEN: f64 = 0.5;
    const UNREACHABLE_DUE: Standing = Standing::Due {
        evidence: Evidence::Unreachable,
        overdue: false,
    };
    const SILENT_DUE: Standing = Standing::Due {
        evidence: Evidence::Silent,
        overdue: false,
    };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(breaker: &Breaker, now: Instant) -> Standing {
        breaker.standing(|| now)
    }

    #[test]
    fn rests_longer_each_time_up_to_a_limit_and_recovers_at_once() {
        let (mut now, mut breaker) = (Instant::now(), Breaker::default());
        assert_eq!(at(&breaker, now), Standing::Well);
        for (number, rest) in [200, 400, 800, 1600, 3200, 5000, 5000].into_iter().enumerate() {
            assert_eq!(breaker.failed(Evidence::Unreachable, now, now, EVEN), number == 0);
            assert_eq!(at(&breaker, now + millis(rest - 1)), Standing::Out);
            now += millis(rest);
            assert_eq!(at(&breaker, now), UNREACHABLE_DUE);
        }
        assert!(breaker.succeeded());
        assert_eq!(at(&breaker, now), Standing::Well);
        assert!(!breaker.succeeded());
    }

    #[test]
    fn a_blip_counts_once_however_many_were_under_way() {
        let (began, mut breaker) = (Instant::now(), Breaker::default());
        for number in 0..64 {
            let now = began + millis(number);
            assert_eq!(breaker.failed(Evidence::Unreachable, began, now, EVEN), number == 0);
        }
        assert_eq!(at(&breaker, began + millis(200)), UNREACHABLE_DUE);
        // As a last resort it is used while it rests, too.
        breaker.failed(Evidence::Unreachable, began + millis(199), began + millis(199), EVEN);
        assert_eq!(at(&breaker, began + millis(200)), UNREACHABLE_DUE);
    }

    #[test]
    fn one_try_tells() {
        let (now, mut breaker) = (Instant::now(), Breaker::default());
        breaker.failed(Evidence::Silent, now, now, EVEN);
        let due = now + millis(2000);
        assert_eq!(at(&breaker, due), SILENT_DUE);
        assert_eq!((breaker.probe(), breaker.probe()), (Some(1), None));
        assert_eq!(breaker.patience(), millis(2000));
        assert_eq!(
            at(&breaker, due),
            Standing::Out,
            "a second try has to wait for the first"
        );
        assert!(!breaker.failed(Evidence::Silent, due, due + millis(500), EVEN));
        assert_eq!(at(&breaker, due + millis(4499)), Standing::Out);
        assert_eq!(at(&breaker, due + millis(4500)), SILENT_DUE);
        assert_eq!(breaker.patience(), millis(4000), "it may be slow, and well");
        assert_eq!(breaker.probe(), Some(2));
        breaker.probed(1);
        assert_eq!(at(&breaker, due + millis(4500)), Standing::Out, "that was another one");
        breaker.probed(2);
        assert_eq!(at(&breaker, due + millis(4500)), SILENT_DUE, "it has told nothing");
    }

    #[test]
    fn one_that_nobody_tries_is_overdue() {
        let (now, mut breaker) = (Instant::now(), Breaker::default());
        breaker.failed(Evidence::Silent, now, now, EVEN);
        assert_eq!(at(&breaker, now + millis(11_999)), SILENT_DUE);
        let overdue = Standing::Due {
            evidence: Evidence::Silent,
            overdue: true,
        };
        assert_eq!(at(&breaker, now + millis(12_000)), overdue);
    }

    #[test]
    fn one_crash_is_none_of_the_endpoint() {
        let (now, mut breaker) = (Instant::now(), Breaker::default());
        for (number, standing) in [(1, Standing::Well), (2, Standing::Well), (3, Standing::Out)] {
            assert_eq!(breaker.failed(Evidence::BrokenOff, now, now, EVEN), number == 3);
            assert_eq!(at(&breaker, now), standing, "{number}");
        }
        breaker.succeeded();
        breaker.failed(Evidence::BrokenOff, now, now, EVEN);
        breaker.failed(Evidence::BrokenOff, now, now, EVEN);
        breaker.succeeded();
        breaker.failed(Evidence::BrokenOff, now, now, EVEN);
        assert_eq!(at(&breaker, now), Standing::Well, "not in a row");
    }

    #[test]
    fn a_connection_refutes_only_that_there_is_none() {
        let now = Instant::now();
        for (evidence, refuted) in [(Evidence::Unreachable, true), (Evidence::Silent, false)] {
            let mut breaker = Breaker::default();
            breaker.failed(evidence, now, now, EVEN);
            assert_eq!(breaker.connected(false), refuted, "{evidence:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_seen_it_is_asked_again(steps in prop::collection::vec((0u8..5, 0u64..100_000), 0..50)) {
            let (mut now, mut breaker) = (Instant::now(), Breaker::default());
            for (what, pause) in steps {
                match what {
                    0 => drop(breaker.failed(Evidence::Unreachable, now, now, 1.0)),
                    1 => drop(breaker.failed(Evidence::Silent, now, now, 1.0)),
                    2 => drop(breaker.failed(Evidence::BrokenOff, now, now, 1.0)),
                    3 => {
                        if let Some(number) = breaker.probe() {
                            breaker.probed(number);
                        }
                    }
                    _ => drop(breaker.connected(false)),
                }
                now += millis(pause);
            }
            prop_assert_ne!(at(&breaker, now + millis(66_001)), Standing::Out);
        }
    }

    #[test]
    fn one_that_speaks_and_breaks_off_again_rests_longer_each_time() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 1..BROKEN_OFF_IN_A_ROW {
            assert!(!breaker.failed(Evidence::BrokenOff, now, now, EVEN));
        }
        for rest in [500, 1000, 2000, 4000] {
            assert!(
                breaker.failed(Evidence::BrokenOff, now, now, EVEN),
                "once more is enough"
            );
            assert_eq!(at(&breaker, now + millis(rest - 1)), Standing::Out);
            now += millis(rest);
            assert!(matches!(at(&breaker, now), Standing::Due { .. }));
            assert!(!breaker.connected(false));
            assert!(breaker.connected(true));
            assert_eq!(at(&breaker, now), Standing::Well);
        }
        breaker.succeeded();
        assert!(
            !breaker.failed(Evidence::BrokenOff, now, now, EVEN),
            "an answer clears it"
        );
    }
}
