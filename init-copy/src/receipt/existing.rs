//! What happens to what stands at the destination already.

use pod_contract::config::Word;

/// The policy. What init-copy put there itself, and nobody touched since, is replaced under all of them but `Seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is replaced; that it was changed since it was copied is told.
    Replace,
    /// What somebody else put there or changed stays.
    Keep,
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
