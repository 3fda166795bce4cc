//! When a name is asked for again, and how long its last good addresses are kept. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// An answer is used at least so long: some servers say 0 and mean "now".
const SHORTEST: Duration = Duration::from_secs(2);
/// And at most so long: it is a few packets a minute to hear of a move that was not announced.
const LONGEST: Duration = Duration::from_secs(60);
/// After the first failure; then twice as long each time,
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// up to this while there are no addresses,
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// and up to this while there are some.
const LONGEST_RETRY_KNOWN: Duration = Duration::from_secs(15);
/// When the name servers agree that the name stands for nothing, its last addresses are believed so much longer: a cluster that was
/// emptied by mistake is more frequent than one that is gone for good, and one that is gone must not be asked for ever.
const KEPT: Duration = Duration::from_secs(60);
/// Connections that fail have a name asked for at once, but not more often than this.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(1);

/// How a look-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Found {
        ttl: Duration,
    },
    /// It stands for nothing, by all that is known.
    Nothing,
    /// Nobody could say.
    Failed,
}

/// The schedule of one name.
#[derive(Debug, Default)]
pub(crate) struct Refresh {
    failures: u32,
    looked_at: Option<Instant>,
    nothing_since: Option<Instant>,
}

/// What follows from a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Until the next one.
    pub(crate) pause: Duration,
    /// The last good addresses are not believed any more.
    pub(crate) forget: bool,
}

impl Refresh {
    /// Plans the next look-up. `has_some`: there are addresses from before; `jitter`: from 0 to 1.
    pub(crate) fn plan(&mut self, ended: Ended, has_some: bool, now: Instant, jitter: f64) -> Plan {
        self.looked_at = Some(now);
        let Ended::Found { ttl } = ended else {
            let longest = if has_some { LONGEST_RETRY_KNOWN } else { LONGEST_RETRY };
            let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(longest);
            self.failures = self.failures.saturating_add(1);
            self.nothing_since = match ended {
                Ended::Nothing => self.nothing_since.or(Some(now)),
                _ => None,
            };
            let forget = self.nothing_since.is_some_and(|since| now - since >= KEPT);
            return Plan {
                pause: spread(pause, jitter),
                forget,
            };
        };
        (self.failures, self.nothing_since) = (0, None);
        Plan {
            pause: spread(ttl.clamp(SHORTEST, LONGEST), jitter),
            forget: false,
        }
    }

    /// Connections fail: may the name be asked for now?
    pub(crate) fn may_doubt(&self, now: Instant) -> bool {
        self.looked_at.is_some_and(|at| now - at >= BETWEEN_DOUBTS)
    }
}

/// Within a tenth, so that many proxies that started together do not ask together for ever.
fn spread(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(0.9 + 0.2 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: f64 = 0.5;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says_within_limits() {
        let (mut refresh, now) = (Refresh::default(), Instant::now());
        for (ttl, pause) in [
            (0, 2),
            (1, 2),
            (2, 2),
            (3, 3),
            (59, 59),
            (60, 60),
            (61, 60),
            (86_400, 60),
        ] {
            let plan = refresh.plan(Ended::Found { ttl: seconds(ttl) }, true, now, EVEN);
            assert_eq!((plan.pause, plan.forget), (seconds(pause), false), "{ttl}");
        }
        for (jitter, pause) in [(0.0, 27), (1.0, 33)] {
            let plan = refresh.plan(Ended::Found { ttl: seconds(30) }, true, now, jitter);
            assert_eq!(plan.pause.as_secs_f64().round(), f64::from(pause));
        }
    }

    #[test]
    fn a_failure_is_tried_again_ever_later_and_forgets_nothing() {
        for (has_some, pauses) in [
            (false, [250, 500, 1000, 2000, 2000, 2000, 2000]),
            (true, [250, 500, 1000, 2000, 4000, 8000, 15_000]),
        ] {
            let (mut refresh, mut now) = (Refresh::default(), Instant::now());
            for pause in pauses {
                let plan = refresh.plan(Ended::Failed, has_some, now, EVEN);
                assert_eq!((plan.pause, plan.forget), (Duration::from_millis(pause), false));
                now += seconds(3600);
            }
        }
    }

    #[test]
    fn a_name_that_is_gone_is_believed_after_a_while() {
        let (mut refresh, start) = (Refresh::default(), Instant::now());
        let mut forgets = |ended, at: u64| refresh.plan(ended, true, start + seconds(at), EVEN).forget;
        assert!(!forgets(Ended::Nothing, 0));
        assert!(!forgets(Ended::Nothing, 59));
        assert!(forgets(Ended::Nothing, 60));
        assert!(!forgets(Ended::Failed, 61), "what is not known proves nothing");
        assert!(!forgets(Ended::Nothing, 62), "and it is looked at anew");
        assert!(!forgets(Ended::Found { ttl: seconds(1) }, 63));
        assert!(!forgets(Ended::Nothing, 64));
    }

    #[test]
    fn doubts_come_once_a_second_at_most() {
        let (mut refresh, now) = (Refresh::default(), Instant::now());
        assert!(!refresh.may_doubt(now), "the first look-up is under way");
        refresh.plan(Ended::Failed, true, now, EVEN);
        assert!(!refresh.may_doubt(now + Duration::from_millis(999)));
        assert!(refresh.may_doubt(now + seconds(1)));
    }
}
