//! Families and samples, in the terms of OpenMetrics 1.0.

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    /// One series a state, of which one is 1; the label that names the state has the family's name.
    StateSet,
}

/// All series of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// The base unit, which is also the end of the name.
    pub(crate) unit: Option<&'static str>,
    pub(crate) kind: Kind,
    pub(crate) samples: Vec<Sample>,
}

/// One series and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}
