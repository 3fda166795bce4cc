//! What failures say about an endpoint: it rests, longer each time, and one success ends that.

use std::time::Duration;

use tokio::time::Instant;

const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Passive health of one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Health {
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| now >= until)
    }

    /// True when the endpoint was thought well until now.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let rest = FIRST_REST.saturating_mul(1 << self.failures.min(10)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(now + rest);
        self.failures == 1
    }

    /// True when the endpoint was thought ill until now.
    pub(crate) fn succeeded(&mut self) -> bool {
        std::mem::take(self) != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_longer_each_time_up_to_a_limit_and_recovers_at_once() {
        let (start, mut health) = (Instant::now(), Health::default());
        assert!(health.is_usable(start));
        for (number, rest) in [200, 400, 800, 1600, 3200, 5000, 5000].into_iter().enumerate() {
            assert_eq!(health.failed(start), number == 0);
            assert!(!health.is_usable(start + Duration::from_millis(rest - 1)));
            assert!(health.is_usable(start + Duration::from_millis(rest)));
        }
        assert!(health.succeeded());
        assert!(health.is_usable(start) && !health.succeeded());
    }
}
