//! Was a goal reached? Pure.

use super::goal::Goal;
use super::statistics::{self, Quantity, Spread};
use crate::part::{Contestant, Runs};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// A program was not there.
    Unknown,
}

impl Goal {
    pub(crate) fn verdict(&self, runs: &Runs) -> Verdict {
        let ratio = |to, quantity| peer(runs, to).and_then(|peer| statistics::ratio(&runs.ours, peer, quantity));
        let spread = |quantity| statistics::spread(&runs.ours, quantity);
        let median = |quantity| spread(quantity).map(|spread| spread.median);
        let (reached, at_most) = match self {
            Self::WallRatio { to, at_most } => (ratio(to, Quantity::Wall), at_most),
            Self::CpuRatio { to, at_most } => (ratio(to, Quantity::Cpu), at_most),
            Self::WallSeconds { at_most } => (median(Quantity::Wall), at_most),
            Self::CpuShare { at_most } => (median(Quantity::CpuShare), at_most),
            // In parts of its limit, the worse of the two.
            Self::DelayMs { half, most } => {
                let shares = median(Quantity::HalfDelay).zip(median(Quantity::MostDelay));
                (
                    shares.map(|(of_half, of_most)| (of_half / half).max(of_most / most)),
                    &1.0,
                )
            }
            Self::PeakRssMib { at_most } => (spread(Quantity::Rss).map(|spread| spread.max), at_most),
        };
        match reached {
            Some(reached) if reached <= *at_most => Verdict::Met,
            Some(_) => Verdict::Missed,
            None => Verdict::Unknown,
        }
    }

    /// The goal for `quantity` as a value, for a mark in a chart: a ratio is taken of the peer's median, which is near the median of ratios.
    pub(crate) fn mark(&self, runs: &Runs, quantity: Quantity) -> Option<f64> {
        let median = |to| peer(runs, to).and_then(|peer| statistics::spread(peer, quantity));
        let share = |to, at_most: &f64| median(to).map(|spread: Spread| spread.median * at_most);
        match (self, quantity) {
            (Self::WallRatio { to, at_most }, Quantity::Wall) | (Self::CpuRatio { to, at_most }, Quantity::Cpu) => {
                share(to, at_most)
            }
            (Self::WallSeconds { at_most }, Quantity::Wall) | (Self::PeakRssMib { at_most }, Quantity::Rss) => {
                Some(*at_most)
            }
            _ => None,
        }
    }
}

fn peer<'a>(runs: &'a Runs, name: &str) -> Option<&'a Contestant> {
    runs.peers.iter().find(|peer| peer.name == name)
}

impl Verdict {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Unknown => "not measured",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::measure::Sample;

    fn contestant(name: &str, rounds: &[(f64, u64)]) -> Contestant {
        let sample = |&(seconds, peak_rss_kib): &(f64, u64)| Sample {
            wall_seconds: seconds,
            user_seconds: seconds / 2.0,
            system_seconds: 0.0,
            peak_rss_kib,
            delay_ms: None,
        };
        Contestant {
            name: name.into(),
            command: name.into(),
            version: None,
            rounds: rounds.iter().map(sample).collect(),
        }
    }

    fn runs() -> Runs {
        let ours = [(1.0, 2048), (2.0, 3072), (3.0, 2048)];
        Runs {
            file_system: "tmpfs".into(),
            ours: contestant("ours", &ours),
            peers: vec![
                contestant("cp", &ours.map(|(seconds, rss)| (2.0 * seconds, rss))),
                contestant("absent", &[]),
            ],
            goals: Vec::new(),
        }
    }

    fn verdict(goal: &Goal) -> Verdict {
        goal.verdict(&runs())
    }

    #[test]
    fn a_goal_is_met_up_to_its_limit() {
        assert_eq!(verdict(&Goal::wall_ratio("cp", 0.5)), Verdict::Met);
        assert_eq!(verdict(&Goal::wall_ratio("cp", 0.49)), Verdict::Missed);
        assert_eq!(verdict(&Goal::cpu_ratio("cp", 0.51)), Verdict::Met);
        assert_eq!(verdict(&Goal::WallSeconds { at_most: 2.0 }), Verdict::Met);
        assert_eq!(verdict(&Goal::WallSeconds { at_most: 1.9 }), Verdict::Missed);
    }

    #[test]
    fn memory_counts_in_every_round() {
        assert_eq!(verdict(&Goal::PeakRssMib { at_most: 3.0 }), Verdict::Met);
        assert_eq!(verdict(&Goal::PeakRssMib { at_most: 2.9 }), Verdict::Missed);
    }

    #[test]
    fn a_peer_that_was_not_run_leaves_the_goal_open() {
        assert_eq!(verdict(&Goal::wall_ratio("absent", 1.0)), Verdict::Unknown);
        assert_eq!(verdict(&Goal::wall_ratio("unheard of", 1.0)), Verdict::Unknown);
    }

    #[test]
    fn goals_are_marked_on_the_quantity_they_are_about() {
        let mark = |goal: &Goal, quantity| goal.mark(&runs(), quantity);
        // The median of cp is 4 seconds of wall, 2 of CPU.
        assert_eq!(mark(&Goal::wall_ratio("cp", 0.5), Quantity::Wall), Some(2.0));
        assert_eq!(mark(&Goal::cpu_ratio("cp", 0.5), Quantity::Cpu), Some(1.0));
        assert_eq!(mark(&Goal::PeakRssMib { at_most: 16.0 }, Quantity::Rss), Some(16.0));
        assert_eq!(mark(&Goal::wall_ratio("cp", 0.5), Quantity::Cpu), None);
        assert_eq!(mark(&Goal::wall_ratio("absent", 0.5), Quantity::Wall), None);
    }
}
