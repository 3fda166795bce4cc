//! How much may be read in a second; pure.

use std::time::{Duration, Instant};

/// Bytes that may be read now: as many as came together since, at most those of a second. One block may be more, and is made up for.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second; no limit without.
    rate: Option<u64>,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>, now: Instant) -> Self {
        Self {
            rate,
            left: rate.unwrap_or_default() as f64,
            at: now,
        }
    }

    /// When there is something left; not later than `now` if there is now.
    pub(super) fn opens_at(&mut self, now: Instant) -> Instant {
        let Some(rate) = self.rate.map(|rate| rate as f64) else {
            return now;
        };
        let came = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.left = (self.left + came).min(rate);
        self.at = now;
        if self.left > 0.0 {
            now
        } else {
            now + Duration::from_secs_f64((-self.left / rate).max(0.001))
        }
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.left -= bytes as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_is_read_whatever_the_pieces() {
        let start = Instant::now();
        for piece in [1, 100, 1000, 5000] {
            let (mut pace, mut now, mut read) = (Pace::new(Some(1000), start), start, 0);
            while now < start + Duration::from_secs(60) {
                match pace.opens_at(now) {
                    at if at > now => now = at,
                    _ => {
                        pace.spend(piece);
                        read += piece;
                    }
                }
            }
            // What is left at first, and the last piece.
            assert!((60_000..=61_000 + piece).contains(&read), "{piece}: {read}");
        }
        let mut free = Pace::new(None, start);
        free.spend(u64::MAX);
        assert_eq!(free.opens_at(start), start);
    }

    #[test]
    fn what_is_not_read_is_not_saved_up() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(1000), start);
        let later = start + Duration::from_secs(100);
        assert_eq!(pace.opens_at(later), later);
        pace.spend(1001);
        assert!(pace.opens_at(later) > later);
    }
}
