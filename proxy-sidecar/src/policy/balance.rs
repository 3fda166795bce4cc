//! Least loaded of two random choices: as good as knowing all loads, without looking at all of them.
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.)

/// One candidate as the balancer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Requests under way.
    pub(crate) in_flight: usize,
    /// Not resting after failures.
    pub(crate) usable: bool,
    /// This request has failed there already.
    pub(crate) tried: bool,
}

/// The index of the endpoint to use: an untried usable one; else an untried resting one (it may be back); else none.
pub(crate) fn pick(loads: impl Iterator<Item = Load> + Clone, rng: &mut fastrand::Rng) -> Option<usize> {
    let indexed = loads.enumerate();
    of_two(indexed.clone().filter(|(_, load)| load.usable && !load.tried), rng)
        .or_else(|| of_two(indexed.filter(|(_, load)| !load.tried), rng))
}

fn of_two(candidates: impl Iterator<Item = (usize, Load)> + Clone, rng: &mut fastrand::Rng) -> Option<usize> {
    let count = candidates.clone().count();
    if count < 2 {
        return candidates.map(|(index, _)| index).next();
    }
    let first = rng.usize(..count);
    let second = (first + rng.usize(1..count)) % count;
    let of = |position| candidates.clone().nth(position);
    let (a, b) = (of(first)?, of(second)?);
    Some(if b.1.in_flight < a.1.in_flight { b.0 } else { a.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: usize, usable: bool, tried: bool) -> Load {
        Load {
            in_flight,
            usable,
            tried,
        }
    }

    fn picks(loads: &[Load]) -> Vec<Option<usize>> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut picks: Vec<_> = (0..200).map(|_| pick(loads.iter().copied(), &mut rng)).collect();
        picks.sort_unstable();
        picks.dedup();
        picks
    }

    #[test]
    fn the_busiest_of_several_is_never_chosen() {
        assert_eq!(
            picks(&[load(9, true, false), load(1, true, false), load(1, true, false)]),
            [Some(1), Some(2)]
        );
    }

    #[test]
    fn equals_share() {
        assert_eq!(picks(&[load(0, true, false); 3]), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn resting_ones_are_the_last_resort_and_tried_ones_none() {
        assert_eq!(picks(&[load(0, false, false), load(9, true, false)]), [Some(1)]);
        assert_eq!(picks(&[load(0, false, false), load(9, true, true)]), [Some(0)]);
        assert_eq!(picks(&[load(0, true, true), load(0, false, true)]), [None]);
        assert_eq!(picks(&[]), [None]);
    }
}
