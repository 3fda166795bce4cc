//! Which endpoint is the next one. No I/O.

mod hash;
mod latency;

use std::time::Duration;

pub(crate) use hash::{Key, place};
pub(crate) use latency::Latency;

/// Of so many choices by time, one is by chance: of two endpoints, the slower one would else not be asked again.
const LOOKS: u8 = 16;

/// One candidate as the balancer sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) rank: Rank,
    /// Those of a higher number are for when none of a lower one is of use.
    pub(crate) priority: u8,
    /// Its share, in relation to those of others; more than 0.
    pub(crate) weight: f64,
    /// Requests under way.
    pub(crate) in_flight: usize,
    pub(crate) latency: Latency,
    /// When it is its turn, in turns; see [`Choice::InTurn`].
    pub(crate) turn: f64,
    /// Where it is among all hashes; see [`place`].
    pub(crate) place: u64,
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
    /// And this request has failed there.
    UnfitAgain,
    /// This request has no business there.
    Never,
}

/// How one of those that are equally well is chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice {
    /// The one with fewer requests under way, of two random ones: as good as knowing all loads, without looking at all of them.
    /// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.)
    Least,
    /// The one where a request takes less time, of two random ones; but once in a while a random one, to see whether it still does.
    Fastest,
    /// The one whose turn is first. Who has had it comes again after as many turns as its weight goes into one.
    InTurn,
    /// This one.
    Stay(usize),
    /// The one that the key belongs to, while that has not far more to do than others.
    Hash(Key),
}

/// How much of its weight counts of an endpoint that has been well for so long: a new one has empty caches, and cold code.
pub(crate) fn warmth(well_for: Duration, slow_start: Duration) -> f64 {
    if well_for >= slow_start {
        return 1.0;
    }
    (well_for.as_secs_f64() / slow_start.as_secs_f64()).max(0.1)
}

impl Candidate {
    fn class(&self) -> (Rank, u8) {
        (self.rank, self.priority)
    }

    /// What it has to do, for its weight.
    fn load(&self) -> f64 {
        self.in_flight as f64 / self.weight
    }

    fn time(&self) -> f64 {
        self.latency.cost(self.load())
    }
}

/// The index of the endpoint to use; none when there is none of use.
pub(crate) fn pick(candidates: &[Candidate], choice: Choice, rng: &mut fastrand::Rng) -> Option<usize> {
    let best = candidates.iter().map(Candidate::class).min()?;
    if best.0 == Rank::Never {
        return None;
    }
    let among = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.class() == best);
    match choice {
        Choice::Stay(index) if candidates.get(index).is_some_and(|one| one.class() == best) => Some(index),
        Choice::Least | Choice::Stay(_) => of_two(among, rng, Candidate::load),
        Choice::Fastest => {
            let is_look = rng.u8(..LOOKS) == 0;
            // Where a request is under way, that is the look.
            let idle = among.clone().filter(|(_, candidate)| candidate.in_flight == 0);
            match is_look.then(|| by_chance(idle, rng)).flatten() {
                Some((index, _)) => Some(index),
                None => of_two(among, rng, Candidate::time),
            }
        }
        Choice::InTurn => {
            let first = among.min_by(|(_, one), (_, other)| one.turn.total_cmp(&other.turn));
            first.map(|(index, _)| index)
        }
        Choice::Hash(key) => hash::owner(among, key),
    }
}

/// Two by chance, as often as their weights say, and of these the one that costs less.
fn of_two<'c>(
    among: impl Iterator<Item = (usize, &'c Candidate)> + Clone,
    rng: &mut fastrand::Rng,
    cost: impl Fn(&Candidate) -> f64,
) -> Option<usize> {
    let first = by_chance(among.clone(), rng)?;
    let Some(second) = by_chance(among.filter(|(index, _)| *index != first.0), rng) else {
        return Some(first.0);
    };
    Some(if cost(second.1) < cost(first.1) {
        second.0
    } else {
        first.0
    })
}

fn by_chance<'c>(
    among: impl Iterator<Item = (usize, &'c Candidate)> + Clone,
    rng: &mut fastrand::Rng,
) -> Option<(usize, &'c Candidate)> {
    let total: f64 = among.clone().map(|(_, candidate)| candidate.weight).sum();
    let mut left = total * rng.f64();
    let mut last = None;
    for one in among {
        last = Some(one);
        left -= one.1.weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(in_flight: usize, rank: Rank) -> Candidate {
        Candidate {
            rank,
            priority: 0,
            weight: 1.0,
            in_flight,
            latency: Latency::default(),
            turn: 0.0,
            place: 0,
        }
    }

    fn picks(candidates: &[Candidate]) -> Vec<Option<usize>> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut picks: Vec<_> = (0..200).map(|_| pick(candidates, Choice::Least, &mut rng)).collect();
        picks.sort_unstable();
        picks.dedup();
        picks
    }

    /// How often each is picked, of `total` times, when each request ends before the next begins.
    fn shares(candidates: &mut [Candidate], total: usize, choice: impl Fn(usize) -> Choice) -> Vec<usize> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut shares = vec![0; candidates.len()];
        for number in 0..total {
            let index = pick(candidates, choice(number), &mut rng).unwrap();
            shares[index] += 1;
            candidates[index].turn += 1.0 / candidates[index].weight;
        }
        shares
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
    fn one_stays_while_none_is_better() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut pick = |ranks: [Rank; 3]| {
            let candidates = ranks.map(|rank| candidate(usize::from(rank == Rank::Well), rank));
            pick(&candidates, Choice::Stay(1), &mut rng)
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

    #[test]
    fn a_lower_priority_is_used_only_when_none_of_a_higher_one_is_well() {
        let mut all = [candidate(9, Rank::Well), candidate(0, Rank::Well)];
        all[1].priority = 1;
        assert_eq!(picks(&all), [Some(0)]);
        all[0].rank = Rank::Due;
        assert_eq!(picks(&all), [Some(1)]);
        all[1].rank = Rank::Due;
        assert_eq!(picks(&all), [Some(0)]);
    }

    #[test]
    fn shares_are_as_weights_whatever_the_choice() {
        let all = [1.0, 2.0, 5.0].map(|weight| Candidate {
            weight,
            ..candidate(0, Rank::Well)
        });
        assert_eq!(shares(&mut all.clone(), 800, |_| Choice::InTurn), [100, 200, 500]);
        // Where nothing tells two apart, the first of them is taken.
        for choice in [Choice::Least, Choice::Fastest] {
            let by_chance = shares(&mut all.clone(), 8000, |_| choice);
            for (share, expected) in by_chance.into_iter().zip([1000, 2000, 5000]) {
                assert!((expected - 200..expected + 200).contains(&share), "{choice:?}: {share}");
            }
        }
        let keyed = all.iter().zip(1..).map(|(one, number)| Candidate {
            place: place(&format!("192.0.2.{number}:80")),
            ..*one
        });
        let mut keyed: Vec<_> = keyed.collect();
        let by_key = shares(&mut keyed, 8000, |number| {
            Choice::Hash(Key::of(number.to_string().as_bytes(), true))
        });
        for (share, expected) in by_key.into_iter().zip([1000, 2000, 5000]) {
            assert!((expected - 200..expected + 200).contains(&share), "{share}");
        }
    }

    #[test]
    fn a_weight_counts_against_load() {
        let mut all = [candidate(3, Rank::Well), candidate(3, Rank::Well)];
        all[1].weight = 2.0;
        assert_eq!(picks(&all), [Some(1)]);
        all[1].in_flight = 7;
        assert_eq!(picks(&all), [Some(0)]);
    }

    #[test]
    fn a_new_one_warms_up() {
        let minute = Duration::from_secs(60);
        for (seconds, expected) in [(0, 0.1), (3, 0.1), (30, 0.5), (60, 1.0), (600, 1.0)] {
            assert_eq!(warmth(Duration::from_secs(seconds), minute), expected);
        }
        assert_eq!(warmth(Duration::ZERO, Duration::ZERO), 1.0);
    }

    #[test]
    fn in_turn_nobody_waits_longer_than_all_others_take() {
        let mut all = [1.0, 1.0, 3.0].map(|weight| Candidate {
            weight,
            ..candidate(0, Rank::Well)
        });
        let mut rng = fastrand::Rng::with_seed(7);
        let mut order = Vec::new();
        for _ in 0..10 {
            let index = pick(&all, Choice::InTurn, &mut rng).unwrap();
            all[index].turn += 1.0 / all[index].weight;
            order.push(index);
        }
        for window in order.windows(5) {
            assert!([0, 1, 2].iter().all(|index| window.contains(index)), "{order:?}");
        }
    }

    /// A simulation: three endpoints, 200 requests a second; how many each gets, in steps of 20 s, when `takes` says how long it takes.
    fn simulate(choice: Choice, takes: fn(usize, u32) -> u64) -> Vec<[usize; 3]> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut all = [candidate(0, Rank::Well); 3];
        let mut ends: Vec<(u64, u64, usize)> = Vec::new();
        let mut shares = vec![[0; 3]; 4];
        for number in 0..16_000u32 {
            let now = u64::from(number) * 5;
            ends.retain(|(took, end, index)| {
                let is_over = *end <= now;
                if is_over {
                    all[*index].in_flight -= 1;
                    all[*index].latency.note(Duration::from_millis(*took));
                }
                !is_over
            });
            let index = pick(&all, choice, &mut rng).unwrap();
            let step = number / 4000;
            let took = takes(index, step);
            all[index].in_flight += 1;
            ends.push((took, now + took, index));
            shares[step as usize][index] += 1;
        }
        shares
    }

    #[test]
    fn a_slow_one_gets_what_it_can_do_and_its_share_again_when_it_is_fast() {
        let slow_at_first = |index, step| if index == 0 && step == 0 { 40 } else { 4 };
        let shares = simulate(Choice::Fastest, slow_at_first);
        assert!((20..300).contains(&shares[0][0]), "{shares:?}");
        assert!(shares[1][0] > 1000, "{shares:?}");
        let blind = simulate(Choice::Least, slow_at_first);
        assert!(blind[0][0] > 2 * shares[0][0], "{blind:?} and {shares:?}");
    }

    #[test]
    fn one_that_hangs_gets_no_more_than_by_load() {
        let hangs = |index, step| if index == 0 && step > 0 { 1_000_000 } else { 4 };
        let [by_time, by_load] = [Choice::Fastest, Choice::Least].map(|choice| simulate(choice, hangs)[3][0]);
        assert!(by_time <= by_load + 2, "{by_time} of 4000; by load {by_load}");
    }

    #[test]
    fn a_burst_after_a_pause_is_shared() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut all = [candidate(0, Rank::Well); 2];
        for one in &mut all {
            one.latency.note(Duration::from_millis(300));
        }
        for _ in 0..40 {
            let index = pick(&all, Choice::Fastest, &mut rng).unwrap();
            all[index].in_flight += 1;
        }
        assert!(all.iter().all(|one| (15..=25).contains(&one.in_flight)), "{all:?}");
    }
}
