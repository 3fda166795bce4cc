//! Least loaded of two random choices: as good as knowing all loads, without looking at all of them.
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.)

/// One candidate as the balancer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Requests under way.
    pub(crate) in_flight: usize,
    pub(crate) rank: Rank,
}

/// Lower ones come first; only equal ones share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Well,
    /// It has rested after failures, and may be back.
    Due,
    /// It rests; still better than nobody.
    Out,
    /// This request has failed there, in a way that may be different the next time.
    Again,
    /// It says that it is not well.
    Unfit,
    /// This request has no business there.
    Never,
}

/// The index of the endpoint to use, `preferred` if none is of a better rank; none when there is none of use.
pub(crate) fn pick(
    candidates: impl Iterator<Item = Candidate> + Clone,
    preferred: Option<usize>,
    rng: &mut fastrand::Rng,
) -> Option<usize> {
    let best = candidates.clone().map(|candidate| candidate.rank).min()?;
    if best == Rank::Never {
        return None;
    }
    let rank_of = |index| candidates.clone().nth(index).map(|candidate| candidate.rank);
    if let Some(index) = preferred.filter(|index| rank_of(*index) == Some(best)) {
        return Some(index);
    }
    of_two(
        candidates.enumerate().filter(|(_, candidate)| candidate.rank == best),
        rng,
    )
}

fn of_two(candidates: impl Iterator<Item = (usize, Candidate)> + Clone, rng: &mut fastrand::Rng) -> Option<usize> {
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

    fn candidate(in_flight: usize, rank: Rank) -> Candidate {
        Candidate { in_flight, rank }
    }

    fn picks(candidates: &[Candidate]) -> Vec<Option<usize>> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut picks: Vec<_> = (0..200)
            .map(|_| pick(candidates.iter().copied(), None, &mut rng))
            .collect();
        picks.sort_unstable();
        picks.dedup();
        picks
    }

    #[test]
    fn the_busiest_of_several_is_never_chosen() {
        let loads = [9, 1, 1].map(|in_flight| candidate(in_flight, Rank::Well));
        assert_eq!(picks(&loads), [Some(1), Some(2)]);
    }

    #[test]
    fn equals_share() {
        assert_eq!(picks(&[candidate(0, Rank::Well); 3]), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn the_preferred_one_is_used_while_none_is_better() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut pick = |ranks: [Rank; 3]| {
            let candidates = ranks.map(|rank| candidate(usize::from(rank == Rank::Well), rank));
            pick(candidates.into_iter(), Some(1), &mut rng)
        };
        assert_eq!(pick([Rank::Well; 3]), Some(1));
        assert_eq!(pick([Rank::Out; 3]), Some(1));
        assert_eq!(pick([Rank::Well, Rank::Out, Rank::Out]), Some(0));
    }

    #[test]
    fn a_better_rank_comes_first_however_busy() {
        let ranks = [Rank::Well, Rank::Due, Rank::Out, Rank::Again];
        for pair in ranks.windows(2) {
            assert_eq!(
                picks(&[candidate(0, pair[1]), candidate(9, pair[0])]),
                [Some(1)],
                "{pair:?}"
            );
        }
        assert_eq!(picks(&[candidate(0, Rank::Never)]), [None]);
        assert_eq!(picks(&[]), [None]);
    }
}
