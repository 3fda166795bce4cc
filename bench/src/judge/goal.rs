//! What a scenario has to reach. Pure.

use serde::{Deserialize, Serialize};

use crate::show::notation;

/// At most this, each for the median of the rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// Ours / the peer of this name.
    WallRatio {
        to: String,
        at_most: f64,
    },
    CpuRatio {
        to: String,
        at_most: f64,
    },
    WallSeconds {
        at_most: f64,
    },
    /// Of one core.
    CpuShare {
        at_most: f64,
    },
    /// How long lines are on their way: half of them, and 99 in 100.
    DelayMs {
        half: f64,
        most: f64,
    },
    /// In every round.
    PeakRssMib {
        at_most: f64,
    },
}

impl Goal {
    pub(crate) fn wall_ratio(to: &str, at_most: f64) -> Self {
        Self::WallRatio { to: to.into(), at_most }
    }

    pub(crate) fn cpu_ratio(to: &str, at_most: f64) -> Self {
        Self::CpuRatio { to: to.into(), at_most }
    }

    /// The name of the peer that ours is held against.
    pub(crate) fn peer(&self) -> Option<&str> {
        match self {
            Self::WallRatio { to, .. } | Self::CpuRatio { to, .. } => Some(to),
            Self::WallSeconds { .. } | Self::PeakRssMib { .. } | Self::CpuShare { .. } | Self::DelayMs { .. } => None,
        }
    }

    /// The same on any machine, so that a miss is a miss also in CI.
    pub(crate) fn is_deterministic(&self) -> bool {
        matches!(self, Self::PeakRssMib { .. })
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::WallRatio { at_most, .. } => format!("wall ≤ {}", notation::limit_ratio(*at_most)),
            Self::CpuRatio { at_most, .. } => format!("CPU ≤ {}", notation::limit_ratio(*at_most)),
            Self::WallSeconds { at_most } => format!("wall ≤ {at_most} s"),
            Self::CpuShare { at_most } => format!("CPU ≤ {} % of a core", at_most * 100.0),
            Self::DelayMs { half, most } => format!("p50 ≤ {half} ms, p99 ≤ {most} ms"),
            Self::PeakRssMib { at_most } => format!("RSS ≤ {at_most} MiB"),
        }
    }
}
