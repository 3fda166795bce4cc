//! How far a file is settled without a gap, while ranges settle in any order.

use std::collections::BTreeMap;

/// The end of the gap-free prefix, and what is settled beyond it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    settled: u64,
    ahead: BTreeMap<u64, u64>,
}

impl Frontier {
    pub(crate) fn at(offset: u64) -> Self {
        Self {
            settled: offset,
            ahead: BTreeMap::new(),
        }
    }

    /// Everything before this offset is settled.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// The range `start..end`, which was handed out once, is settled.
    pub(crate) fn settle(&mut self, start: u64, end: u64) {
        self.ahead.insert(start, end);
        while let Some(end) = self.ahead.remove(&self.settled) {
            self.settled = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moves_only_over_a_gap_free_prefix() {
        let mut frontier = Frontier::at(10);
        frontier.settle(20, 30);
        assert_eq!(frontier.settled(), 10);
        frontier.settle(10, 20);
        assert_eq!(frontier.settled(), 30);
    }

    proptest! {
        #[test]
        fn equals_the_longest_settled_prefix(lengths in prop::collection::vec(1u64..50, 1..40), seed in any::<u64>(), share in 0usize..40) {
            let mut ranges = Vec::new();
            let mut end = 0;
            for length in lengths {
                ranges.push((end, end + length));
                end += length;
            }
            let mut order: Vec<usize> = (0..ranges.len()).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut order);
            order.truncate(share);
            let mut frontier = Frontier::at(0);
            for &index in &order {
                frontier.settle(ranges[index].0, ranges[index].1);
            }
            let expected = ranges.iter().enumerate().take_while(|(i, _)| order.contains(i)).last().map_or(0, |(_, r)| r.1);
            prop_assert_eq!(frontier.settled(), expected);
        }
    }
}
