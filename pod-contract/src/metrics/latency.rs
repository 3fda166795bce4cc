//! How long something takes, as a histogram.

use prometheus_client::metrics::histogram::Histogram;

/// Seconds, from what a neighbour on localhost takes to what a person gives up on; a series each, so few.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// A histogram of seconds; register it with the unit `Seconds`.
pub fn latency() -> Histogram {
    Histogram::new(BUCKETS)
}
