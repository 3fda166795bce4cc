//! What is taken for another thing than damage when the user says so.

use pod_contract::config::Word;

/// What an archive may be like, beyond what is taken anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leniency {
    /// A tar without its end mark: it may be whole, or cut between two members.
    pub no_end: bool,
    /// Names whose components are separated by backslashes, as old versions of PowerShell wrote them.
    pub backslashes: bool,
    /// The layer of an image: names begin at its root with or without a slash, and what is refused otherwise, such as a device, is
    /// listed as unfit, since most of it is beside what is wanted.
    pub layer: bool,
}

/// One thing that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    NoEnd,
    Backslashes,
}

impl Word for Accept {
    const FORM: &'static str = "no-end or backslashes";
    const WORDS: &'static [(&'static str, Self)] = &[("no-end", Self::NoEnd), ("backslashes", Self::Backslashes)];
}

impl Leniency {
    pub(crate) fn of(accepted: &[Accept], layer: bool) -> Self {
        Self {
            no_end: accepted.contains(&Accept::NoEnd),
            backslashes: accepted.contains(&Accept::Backslashes),
            layer,
        }
    }

    /// A name as it is meant.
    pub(super) fn name(self, mut name: Vec<u8>) -> Vec<u8> {
        if self.backslashes {
            name.iter_mut()
                .filter(|byte| **byte == b'\\')
                .for_each(|byte| *byte = b'/');
        }
        if self.layer && name.first() == Some(&b'/') {
            name.insert(0, b'.');
        }
        name
    }
}
