//! Health as applications tell it: one status for the whole, and one for each component.

mod decode;

pub(crate) use decode::decode;

/// A status in one vocabulary, whatever the framework's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Up,
    Warn,
    Unknown,
    OutOfService,
    Down,
}

impl Status {
    pub(crate) const ALL: [Self; 5] = [Self::Up, Self::Warn, Self::Unknown, Self::OutOfService, Self::Down];

    /// As the value of a label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::OutOfService => "out_of_service",
            Self::Down => "down",
        }
    }

    /// Does it serve? Only what says so.
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Warn)
    }
}

/// One component; nested ones are joined with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) status: Status,
}

/// A whole health document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) status: Status,
    /// Sorted by name, each name once.
    pub(crate) components: Vec<Component>,
}
