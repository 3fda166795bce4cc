//! What is known of a limit of connections: since when it has been reached, and whether that was told. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// A client waits so long for a place in the kernel's queue, and is then told why it gets none.
const WAIT: Duration = Duration::from_secs(1);
/// The same news is told so often at most.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Whether all places are taken.
#[derive(Debug, Default)]
pub(super) struct Full {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Full {
    /// Takes note of whether all places are taken; true when that is news to be told.
    pub(super) fn note(&mut self, is_full: bool, now: Instant) -> bool {
        if !is_full {
            self.since = None;
            return false;
        }
        self.since.get_or_insert(now);
        let is_news = self.told.is_none_or(|told| now - told >= TELL_AGAIN);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }

    /// When who waits is to be told; none while there are places.
    pub(super) fn refuses_at(&self) -> Option<Instant> {
        self.since.map(|since| since + WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_refused_after_a_while_without_a_free_place() {
        let (mut full, start) = (Full::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(full.refuses_at(), None);
        assert!(full.note(true, at(0)));
        assert!(!full.note(true, at(500)), "told once");
        assert_eq!(full.refuses_at(), Some(at(1000)));
        assert!(!full.note(false, at(600)));
        assert_eq!(full.refuses_at(), None);
        assert!(!full.note(true, at(700)), "and not again so soon");
        assert_eq!(full.refuses_at(), Some(at(1700)), "who waits was served in between");
        assert!(full.note(true, at(60_000)));
    }
}
