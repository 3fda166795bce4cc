//! The tar walker over arbitrary bytes. What it tells must not depend on how the stream is cut, nor on what is read of a member.

#![no_main]

use std::io::Read;

use fuzz::{assert_sound, leniencies, repair_tar};
use init_copy::archive::tar::{list, walk};
use init_copy::archive::{Leniency, Member, Refused};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    for leniency in leniencies() {
        check(data, leniency);
    }
});

fn check(data: &[u8], leniency: Leniency) {
    let (members, good) = members_of(data, leniency, usize::MAX);
    // The holes of a sparse member are content that no byte stands for.
    let content: u64 = members
        .iter()
        .filter(|member| !member.sparse)
        .map(|member| member.size)
        .sum();
    assert!(
        !good || content <= data.len() as u64,
        "{content} bytes announced and found"
    );

    for (piece, read) in [(7, usize::MAX), (data.len().max(1), 0), (509, 3)] {
        let again = members_of(Pieces { data, piece }, leniency, read);
        assert_eq!(again, (members.clone(), good), "in pieces of {piece}, reading {read}");
    }
    if leniency == Leniency::default() {
        match list(data) {
            Ok(paths) => assert!(good && paths.iter().eq(members.iter().map(|member| &member.path))),
            Err(_) => assert!(!good),
        }
    }
}

// Most mutations of a header are to get past its checksum.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(8) {
        repair_tar(&mut data[..size]);
    }
    size
});

/// Bytes.
const MOST_OF_SPARSE: usize = 1 << 16;

/// The members whose content is whole, and whether the walk came to its end. Reads up to `most` bytes of each.
fn members_of(tar: impl Read, leniency: Leniency, most: usize) -> (Vec<Member>, bool) {
    let mut members: Vec<Member> = Vec::new();
    let mut last = None;
    let walked = walk(tar, leniency, |number, member, content| {
        members.extend(last.take());
        assert_eq!(number as usize, members.len() + 1, "members are numbered from 1");
        assert_sound(&member);
        // A hole may be as long as a disk.
        let most = if member.sparse { most.min(MOST_OF_SPARSE) } else { most };
        read_up_to(content, member.size, most)?;
        last = Some(member);
        Ok::<(), Refused>(())
    });
    if walked.is_ok() {
        members.extend(last);
    }
    (members, walked.is_ok())
}

fn read_up_to(content: &mut dyn Read, size: u64, most: usize) -> Result<(), Refused> {
    let mut read: u64 = 0;
    let mut buffer = [0; 700];
    while usize::try_from(read).is_ok_and(|read| read < most) {
        let found = content.read(&mut buffer).map_err(Refused::Io)? as u64;
        if found == 0 {
            assert_eq!(read, size, "the content ends early and without an error");
            return Ok(());
        }
        read += found;
        assert!(read <= size, "{read} bytes of content where {size} were announced");
    }
    Ok(())
}

/// Yields a few bytes at a time, as a decoder may.
struct Pieces<'d> {
    data: &'d [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let most = buf.len().min(self.piece);
        self.data.read(&mut buf[..most])
    }
}
