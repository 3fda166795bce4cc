//! The four binaries as they ship, against their budgets.

use std::fs;

use super::{Kind, Scenario};
use crate::binaries::Binaries;
use crate::part::Size;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "size",
    kind: Kind::Sizes(weigh),
};

/// A line a binary: its name, a space, the most bytes that it may have. The images are held against the same ones.
const BUDGETS: &str = include_str!("../../../images/budgets");

fn budgets() -> impl Iterator<Item = (&'static str, u64)> {
    BUDGETS.lines().map(|line| {
        let (name, bytes) = line.split_once(' ').expect("a name, a space, a number of bytes");
        (name, bytes.parse().expect("bytes in digits"))
    })
}

fn weigh(binaries: &Binaries) -> Vec<Size> {
    let size = |(name, budget_bytes): (&str, u64)| Size {
        name: name.into(),
        bytes: fs::metadata(binaries.path(name)).ok().map(|metadata| metadata.len()),
        budget_bytes,
    };
    budgets().map(size).collect()
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
