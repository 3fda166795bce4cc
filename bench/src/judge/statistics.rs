//! From the rounds of a scenario to the figures that are shown. Pure.

use crate::part::Contestant;
use crate::run::measure::Sample;

/// A median with the range it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }
}

/// What of a sample is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Seconds.
    Wall,
    /// Seconds on all cores.
    Cpu,
    /// The peak, MiB.
    Rss,
    /// Of one core, of which 1 is all.
    CpuShare,
    /// Of half of the lines, milliseconds.
    HalfDelay,
    /// Of 99 in 100 lines.
    MostDelay,
}

impl Quantity {
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Wall => sample.wall_seconds,
            Self::Cpu => sample.user_seconds + sample.system_seconds,
            Self::CpuShare => Self::Cpu.of(sample) / sample.wall_seconds,
            Self::HalfDelay => sample.delay_ms.map_or(f64::INFINITY, |(half, _)| half),
            Self::MostDelay => sample.delay_ms.map_or(f64::INFINITY, |(_, most)| most),
            Self::Rss => sample.peak_rss_kib as f64 / 1024.0,
        }
    }
}

/// A quantity of a contestant over its rounds; `None` when it was not run.
pub(crate) fn spread(contestant: &Contestant, quantity: Quantity) -> Option<Spread> {
    Spread::of(
        &contestant
            .rounds
            .iter()
            .map(|sample| quantity.of(sample))
            .collect::<Vec<_>>(),
    )
}

/// Median over the rounds of ours / peer: what disturbs the machine for a while disturbs both of a round.
pub(crate) fn ratio(ours: &Contestant, peer: &Contestant, quantity: Quantity) -> Option<f64> {
    let rounds = ours.rounds.iter().zip(&peer.rounds);
    let ratios: Vec<f64> = rounds
        .map(|(ours, peer)| quantity.of(ours) / quantity.of(peer))
        .collect();
    Spread::of(&ratios)
        .map(|spread| spread.median)
        .filter(|ratio| ratio.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contestant(walls: &[f64]) -> Contestant {
        let sample = |wall_seconds: &f64| Sample {
            wall_seconds: *wall_seconds,
            user_seconds: 0.0,
            system_seconds: 0.0,
            peak_rss_kib: 2048,
            delay_ms: None,
        };
        Contestant {
            name: "x".into(),
            command: "x".into(),
            version: None,
            rounds: walls.iter().map(sample).collect(),
        }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        let (min, max) = (1.0, 9.0);
        assert_eq!(
            Spread::of(&[9.0, 1.0, 2.0, 4.0]),
            Some(Spread { median: 3.0, min, max })
        );
    }

    #[test]
    fn ratios_are_taken_per_round() {
        // Medians alone would give 2 / 4; the rounds give 1/1, 2/4, 30/40.
        let (ours, peer) = (contestant(&[1.0, 2.0, 30.0]), contestant(&[1.0, 4.0, 40.0]));
        assert_eq!(ratio(&ours, &peer, Quantity::Wall), Some(0.75));
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        assert_eq!(ratio(&contestant(&[1.0]), &contestant(&[]), Quantity::Wall), None);
        assert_eq!(ratio(&contestant(&[1.0]), &contestant(&[1.0]), Quantity::Cpu), None);
        assert_eq!(ratio(&contestant(&[1.0]), &contestant(&[0.0]), Quantity::Wall), None);
    }

    #[test]
    fn rss_is_in_mib() {
        assert_eq!(
            spread(&contestant(&[1.0]), Quantity::Rss).map(|spread| spread.median),
            Some(2.0)
        );
    }
}
