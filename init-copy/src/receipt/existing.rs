//! What happens to what stands at the destination already.

use pod_contract::config::Word;

/// The policy. What init-copy put there itself, and nobody touched since, is replaced under all of them but `Seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is replaced; that it was changed since it was copied is told.
    Replace,
    /// What somebody else put there or changed stays.
    Keep,
    /// What is as new as the source or newer stays: `cp -u`, which has no proof but the time.
    Update,
    /// Only what was never put there is written: what was changed stays, and what was removed stays away.
    Seed,
    /// What somebody else put there or changed fails the run before anything is written.
    Fail,
}

impl Word for Existing {
    const FORM: &'static str = "replace, keep, seed or fail";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("seed", Self::Seed),
        ("fail", Self::Fail),
    ];
}

impl Existing {
    /// Is what others put there or changed left to them?
    pub(crate) fn leaves(self) -> bool {
        matches!(self, Self::Keep | Self::Seed)
    }

    /// Does something stay that is not proven to be what is wanted? It is touched when somebody else put it there or changed it, and
    /// may be newer than its source.
    pub(super) fn stays(self, is_touched: bool, is_newer: bool) -> bool {
        match self {
            Self::Replace => false,
            Self::Keep | Self::Fail => is_touched,
            Self::Update => is_newer,
            Self::Seed => true,
        }
    }
}
