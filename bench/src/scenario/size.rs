//! The four binaries as they ship, against their budgets.

use std::fs;

use super::{Kind, Scenario};
use crate::binaries::Binaries;
use crate::part::Size;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "size",
    kind: Kind::Sizes(weigh),
};

const BUDGETS: [(&str, u64); 4] = [
    ("init-copy", 3_000_000),
    ("log-sidecar", 5_300_000),
    ("proxy-sidecar", 4_500_000),
    ("adapter-sidecar", 3_500_000),
];

fn weigh(binaries: &Binaries) -> Vec<Size> {
    let size = |(name, budget_bytes): (&str, u64)| Size {
        name: name.into(),
        bytes: fs::metadata(binaries.path(name)).ok().map(|metadata| metadata.len()),
        budget_bytes,
    };
    BUDGETS.into_iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_has_no_size() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log-sidecar"), [0; 10]).unwrap();
        let sizes = weigh(&Binaries::InOneDirectory(dir.path().to_owned()));
        let found: Vec<_> = sizes.iter().map(|size| size.bytes).collect();
        assert_eq!(found, [None, Some(10), None, None]);
    }
}
