//! When the answer has to leave: before whoever asked gives up, so that it learns the cause.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// What Prometheus says of its patience, seconds with a fraction.
pub(crate) const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(300);
/// For the way back.
const MARGIN: Duration = Duration::from_millis(250);

/// The end of one request's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) budget: Duration,
}

impl Deadline {
    /// So far away that another one ends the request.
    pub(crate) fn far() -> Self {
        Self {
            at: Instant::now() + LONGEST,
            budget: LONGEST,
        }
    }

    /// From the asker's header, or `default` without one.
    pub(crate) fn of(headers: &HeaderMap, default: Duration) -> Self {
        let budget = headers
            .get(SCRAPE_TIMEOUT)
            .and_then(|value| budget(value.to_str().ok()?))
            .unwrap_or(default);
        Self {
            at: Instant::now() + budget,
            budget,
        }
    }
}

/// The header's time less 5 % or the margin, whichever is more, but never less than half of it.
fn budget(header: &str) -> Option<Duration> {
    let patience = Duration::try_from_secs_f64(header.trim().parse().ok()?)
        .ok()
        .filter(|patience| !patience.is_zero())?
        .min(LONGEST);
    let margin = MARGIN.max(patience / 20);
    Some(patience.saturating_sub(margin).max(patience / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_room_for_the_way_back() {
        for (header, millis) in [
            ("10", Some(9500)),
            ("3", Some(2750)),
            ("1.0", Some(750)),
            ("0.4", Some(200)),
            ("0.001", Some(0)),
            ("1e9", Some(285_000)),
            ("1e19", Some(285_000)),
        ] {
            assert_eq!(
                budget(header).map(|b| u64::try_from(b.as_millis()).unwrap()),
                millis,
                "{header}"
            );
        }
        for bad in ["", "0", "-1", "NaN", "inf", "1e300", "soon"] {
            assert_eq!(budget(bad), None, "{bad}");
        }
    }
}
