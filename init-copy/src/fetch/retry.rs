//! Which failures pass by waiting, and how long to wait. No I/O, no clock of its own.

use std::time::{Duration, Instant};

use pod_contract::run::backoff::Backoff;
use pod_contract::start::exit::Failure;

use crate::error::DEADLINE;

/// When everything has to be done; none is for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    length: Duration,
}

impl Deadline {
    pub(crate) fn after(length: Option<Duration>) -> Self {
        Self {
            at: length.map(|length| Instant::now() + length),
            length: length.unwrap_or_default(),
        }
    }

    /// Time left; zero when it has passed, `None` without a deadline.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// The failure when it has passed while something was still `pending`.
    pub(crate) fn failure(&self, pending: &str) -> Failure {
        Failure::new(DEADLINE, format!("the deadline of {:?} passed: {pending}", self.length))
            .remedy("mend what is named above, or raise --deadline")
    }
}

/// Why one try failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It may be over the next time; the server may have said when to ask again.
    Passing { why: Failure, after: Option<Duration> },
    /// Trying again gives the same.
    Final(Failure),
}

impl Problem {
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Passing { why, .. } | Self::Final(why) => why,
        }
    }

    pub(crate) fn passing(code: u8, cause: String) -> Self {
        Self::Passing {
            why: Failure::new(code, cause),
            after: None,
        }
    }
}

/// The wait before the first repeat; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A server may ask for more than our own longest wait, but not for a day.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Tries with growing pauses, up to a number of them.
#[derive(Debug)]
pub(crate) struct Tries {
    done: u32,
    most: u32,
    backoff: Backoff,
}

impl Tries {
    /// `most` tries in all, the first one counted; a try that made progress may start it anew.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            done: 1,
            most,
            backoff: Backoff::new(FIRST, LONGEST),
        }
    }

    pub(crate) fn done(&self) -> u32 {
        self.done
    }

    /// Something was gained: waits are short again.
    pub(crate) fn progressed(&mut self) {
        self.done = 1;
        self.backoff.reset();
    }

    /// How long to wait before the next try; `None` when it was the last. `jitter` is from 0 to 1.
    pub(crate) fn next(&mut self, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        if self.done >= self.most {
            return None;
        }
        self.done += 1;
        let own = self.backoff.pause_with(jitter);
        Some(asked.map_or(own, |asked| asked.min(LONGEST_ASKED).max(own)))
    }
}

/// `Retry-After` as seconds or as a date (RFC 9110, section 10.2.3); `now` is in seconds since 1970.
pub(crate) fn retry_after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = http_date(value)?;
    Some(Duration::from_secs(at.saturating_sub(now)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
pub(super) fn http_date(text: &str) -> Option<u64> {
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS.iter().position(|m| *m == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_end() {
        let mut tries = Tries::new(9);
        let waits: Vec<_> = std::iter::from_fn(|| tries.next(None, 1.0))
            .map(|d| d.as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        for (most, repeats) in [(1, 0), (2, 1), (3, 2)] {
            let mut tries = Tries::new(most);
            assert_eq!(std::iter::from_fn(|| tries.next(None, 0.0)).count(), repeats);
        }
    }

    #[test]
    fn a_server_may_ask_for_more_but_not_for_a_day() {
        let wait = |asked| {
            Tries::new(2)
                .next(Some(Duration::from_secs(asked)), 1.0)
                .unwrap()
                .as_millis()
        };
        assert_eq!((wait(0), wait(7), wait(300), wait(301)), (500, 7000, 300_000, 300_000));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 120 ", 0), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_778),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", 0), None);
    }
}
