//! Two headers that agree, for mutated zips: a mutation of one of them is otherwise seen by nothing but their comparison.

use std::ops::Range;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

/// Makes the central directory of `zip` say what the local headers do, in their order, and the end record where it is.
pub fn repair(zip: &mut [u8]) {
    let centrals = places(zip, CENTRAL, 46);
    let (Some(&first), Some(&end)) = (centrals.first(), places(zip, END, 22).last()) else {
        return;
    };
    if end < first {
        return;
    }
    let mut count = 0;
    for (&local, &central) in places(zip, LOCAL, 30).iter().zip(&centrals) {
        if local > first || central > end {
            break;
        }
        count += 1;
        sum(zip, local, first);
        // From the flags to the lengths of name and extra field, both have the same fields in the same order.
        zip.copy_within(local + 6..local + 28, central + 8);
        put(zip, central + 42, 4, local);
        let name = length(zip, local + 26);
        if local + 30 + name <= first && central + 46 + name <= end {
            zip.copy_within(local + 30..local + 30 + name, central + 46);
        }
    }
    put(zip, end + 4, 4, 0);
    put(zip, end + 8, 2, count);
    put(zip, end + 10, 2, count);
    put(zip, end + 12, 4, end - first);
    put(zip, end + 16, 4, first);
    put(zip, end + 20, 2, zip.len() - end - 22);
}

/// The checksum of a stored member; that of a deflated one is only looked at when all of it has been unpacked.
fn sum(zip: &mut [u8], local: usize, directory: usize) {
    let data = local + 30 + length(zip, local + 26) + length(zip, local + 28);
    let stored = length(zip, local + 8) == 0;
    let size = length(zip, local + 18);
    if let Some(content) = zip
        .get(data..data + size)
        .filter(|_| stored && data + size <= directory)
    {
        let sum = crc32fast::hash(content);
        zip[local + 14..local + 18].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Where `magic` is, with `room` bytes from there on.
fn places(zip: &[u8], magic: &[u8], room: usize) -> Vec<usize> {
    let last = (zip.len() + 1).saturating_sub(room);
    (0..last).filter(|&at| zip[at..].starts_with(magic)).collect()
}

fn length(zip: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]))
}

fn put(zip: &mut [u8], at: usize, bytes: usize, value: usize) {
    let place: Range<usize> = at..at + bytes;
    zip[place].copy_from_slice(&value.to_le_bytes()[..bytes]);
}
