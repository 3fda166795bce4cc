//! Which endpoint a key belongs to: the one that scores highest for it, by its weight. A member that comes or goes moves its own keys only, and
//! all proxies agree without asking each other. (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998, with weights.)

use super::Candidate;

/// So much more than its share an endpoint may have to do, before a key that spills goes to the next one. (Mirrokni, Thorup and Zadimoghaddam, "Consistent
/// Hashing with Bounded Loads", 2017.)
const BOUND: f64 = 1.25;
/// Of a few requests, any second one would be more than a share.
const FEW: f64 = 32.0;

/// What of a request decides where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    hash: u64,
    /// It may go elsewhere while its endpoint has too much to do: what is looked up may, a session may not.
    spills: bool,
}

impl Key {
    pub(crate) fn of(bytes: &[u8], spills: bool) -> Self {
        Self {
            hash: fnv(bytes),
            spills,
        }
    }
}

/// Where an endpoint is among the hashes: the same in every proxy that knows it by this name.
pub(crate) fn place(name: &str) -> u64 {
    fnv(name.as_bytes())
}

/// FNV-1a, 64 bits: draft-eastlake-fnv.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Evenly spread over 64 bits: the last step of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// From 0 up; a double weight wins twice as often.
fn score(key: Key, candidate: &Candidate) -> f64 {
    let bits = mix(mix(key.hash) ^ candidate.place) >> 11;
    let between_0_and_1 = (bits as f64 + 0.5) / (1u64 << 53) as f64;
    -candidate.weight / between_0_and_1.ln()
}

/// The index of the one that scores highest among those that have room.
pub(super) fn owner<'c>(among: impl Iterator<Item = (usize, &'c Candidate)> + Clone, key: Key) -> Option<usize> {
    let (requests, weights) = among.clone().fold((1.0, 0.0), |(requests, weights), (_, one)| {
        (requests + one.in_flight as f64, weights + one.weight)
    });
    let room = |one: &Candidate| (BOUND * requests * one.weight / weights).ceil().max(FEW);
    let has_room = |one: &Candidate| !key.spills || (one.in_flight as f64) < room(one);
    let best = among
        .filter(|(_, one)| has_room(one))
        .max_by(|(_, one), (_, other)| score(key, one).total_cmp(&score(key, other)));
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Choice, Latency, Rank, pick};
    use super::*;

    fn members(numbers: impl Iterator<Item = u8>) -> Vec<Candidate> {
        let member = |number: u8| Candidate {
            rank: Rank::Well,
            priority: 0,
            weight: 1.0,
            in_flight: 0,
            latency: Latency::default(),
            turn: 0.0,
            place: place(&format!("192.0.2.{number}:9200")),
        };
        numbers.map(member).collect()
    }

    fn owner_of(members: &[Candidate], number: u32) -> u64 {
        let key = Key::of(format!("tenant-{number}").as_bytes(), true);
        let index = pick(members, Choice::Hash(key), &mut fastrand::Rng::with_seed(1)).unwrap();
        members[index].place
    }

    #[test]
    fn fnv_is_the_published_one() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn one_that_leaves_moves_only_its_own_keys() {
        let (all, fewer) = (members(1..=5), members((1..=5).filter(|number| *number != 3)));
        let gone = all[2].place;
        let mut moved = 0;
        for number in 0..5000 {
            let before = owner_of(&all, number);
            if before == gone {
                moved += 1;
            } else {
                assert_eq!(owner_of(&fewer, number), before);
            }
        }
        assert!((900..1100).contains(&moved), "{moved}");
    }

    #[test]
    fn a_key_that_everybody_asks_for_does_not_drown_its_endpoint() {
        let mut all = members(1..=4);
        let mut most_of = |spills, count| {
            let key = Key::of(b"hot", spills);
            all.iter_mut().for_each(|one| one.in_flight = 0);
            for _ in 0..count {
                let index = pick(&all, Choice::Hash(key), &mut fastrand::Rng::with_seed(1)).unwrap();
                all[index].in_flight += 1;
            }
            all.iter().map(|one| one.in_flight).max().unwrap()
        };
        assert_eq!(most_of(true, 400), 125, "a quarter, and a quarter more");
        assert_eq!(most_of(true, 32), 32, "these are few");
        assert_eq!(most_of(false, 400), 400, "a session has one endpoint");
    }

    proptest! {
        #[test]
        fn there_is_always_one_with_room(loads in prop::collection::vec((0usize..50, 1u8..20), 1..10), key in any::<u64>()) {
            let mut all = members(1..=loads.len() as u8);
            for (one, (in_flight, weight)) in all.iter_mut().zip(loads) {
                (one.in_flight, one.weight) = (in_flight, f64::from(weight));
            }
            let key = Key { hash: key, spills: true };
            prop_assert!(owner(all.iter().enumerate(), key).is_some());
        }
    }
}
