//! The zip walker over arbitrary bytes, then inflate for every member of a zip that it believes.

#![no_main]

use std::ops::Range;

use fuzz::{assert_sound, leniencies, repair_zip};
use init_copy::archive::zip::{Slot, unpack, walk};
use init_copy::archive::{Leniency, Member, MemberKind, Refused};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    leniencies().for_each(|leniency| check(data, leniency));
});

fn check(data: &[u8], leniency: Leniency) {
    let mut members: Vec<(Member, Slot)> = Vec::new();
    let walked = walk(data, data.len() as u64, leniency, |member, slot| {
        assert_sound(&member);
        assert!(!matches!(member.kind, MemberKind::Hard(_)), "a zip has no hard links");
        members.push((member, slot));
        Ok::<(), Refused>(())
    });
    if walked.is_err() {
        return;
    }
    assert_apart(
        members.iter().map(|(_, slot)| slot.bytes()).collect(),
        data.len() as u64,
    );
    for (member, slot) in &members {
        check_content(data, member, slot);
    }
}

// Most mutations of a header are to get past the comparison with the other one.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(8) {
        repair_zip(&mut data[..size]);
    }
    size
});

fn assert_apart(mut places: Vec<Range<u64>>, end: u64) {
    places.sort_by_key(|place| place.start);
    let starts = places.iter().map(|place| place.start).skip(1).chain([end]);
    for (place, next) in places.iter().zip(starts) {
        assert!(place.start < place.end && place.end <= next, "{place:?} reaches {next}");
    }
}

fn check_content(data: &[u8], member: &Member, slot: &Slot) {
    let size = match &member.kind {
        MemberKind::Link(to) => to.len() as u64,
        _ => member.size,
    };
    let mut written = 0;
    let unpacked = unpack(data, slot, |bytes| {
        written += bytes.len() as u64;
        assert!(
            written <= size,
            "{written} bytes of content where {size} were announced"
        );
        Ok::<(), Refused>(())
    });
    assert!(
        unpacked.is_err() || written == size,
        "{written} bytes of {size} pass as all of them"
    );
}
