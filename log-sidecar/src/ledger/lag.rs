//! How far each file is behind: what is written to it and not yet settled, and since when.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Files that are shown, those that are behind most: a label for each of thousands would cost more than it tells.
const MOST: usize = 50;

/// One file that is behind.
#[derive(Debug, Clone)]
pub(crate) struct Lag {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// So long ago, at the look and at least, something was written that was not settled then.
    pub(crate) age: Duration,
}

/// The files that were behind at the last look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lags(Arc<Mutex<Vec<Lag>>>);

impl Lags {
    /// Takes the place of what was seen before.
    pub(crate) fn set(&self, mut lags: Vec<Lag>) {
        lags.sort_unstable_by_key(|lag| Reverse(lag.age));
        lags.truncate(MOST);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lags;
    }

    /// Those that are behind longest first.
    pub(crate) fn get(&self) -> Vec<Lag> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the first of them has been behind.
    pub(crate) fn longest(&self) -> Duration {
        let lags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lags.first().map_or(Duration::ZERO, |lag| lag.age)
    }
}

/// A size that a file had once; when all before is settled, the next one is noted.
#[derive(Debug)]
pub(crate) struct Watermark {
    size: u64,
    at: Instant,
}

impl Watermark {
    pub(crate) fn new(size: u64, at: Instant) -> Self {
        Self { size, at }
    }

    /// How far the file is behind `now`, if it is.
    pub(crate) fn lag(&mut self, path: &str, size: u64, settled: u64, now: Instant) -> Option<Lag> {
        // Smaller after a truncation.
        if settled >= self.size || size < self.size {
            *self = Self { size, at: now };
        }
        (size > settled).then(|| Lag {
            path: path.to_owned(),
            bytes: size - settled,
            age: now - self.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_behind_since_something_was_seen_that_is_not_settled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut mark = Watermark::new(0, start);
        let mut lag = |size, settled, seconds| {
            let lag = mark.lag("a", size, settled, at(seconds))?;
            Some((lag.bytes, lag.age.as_secs()))
        };
        assert_eq!(lag(0, 0, 1), None);
        assert_eq!(lag(100, 0, 2), Some((100, 0)));
        assert_eq!(lag(300, 50, 5), Some((250, 3)));
        // What was there at second 2 is settled; that of second 5 may be from just now.
        assert_eq!(lag(400, 100, 6), Some((300, 0)));
        assert_eq!(lag(400, 399, 9), Some((1, 3)));
        assert_eq!(lag(400, 400, 10), None);
        assert_eq!(lag(500, 400, 20), Some((100, 0)));
        // Truncated.
        assert_eq!(lag(10, 0, 30), Some((10, 0)));
    }

    #[test]
    fn those_that_are_behind_longest_are_shown() {
        let lags = Lags::default();
        let lag = |number: usize| Lag {
            path: number.to_string(),
            bytes: 1,
            age: Duration::from_secs(number as u64),
        };
        lags.set((0..=MOST).map(lag).collect());
        let shown = lags.get();
        assert_eq!((shown.len(), shown[0].path.parse()), (MOST, Ok(MOST)));
    }
}
