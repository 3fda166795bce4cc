//! The walk: end record, central directory, and each local header against it.

use std::ops::Range;

use super::fields::{Extra, decode_name, dos_time};
use super::{Method, ReadAt, Slot, damaged, read, u16_at, u32_at, u64_at};
use crate::archive::{DIR_MODE, FILE_MODE, Leniency, Member, MemberKind, Refused};
use crate::plan::safe_path;

const END: u32 = 0x0605_4b50;
const END64_LOCATOR: u32 = 0x0706_4b50;
const END64: u32 = 0x0606_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;

const END_LENGTH: usize = 22;
const CENTRAL_LENGTH: usize = 46;
const LOCAL_LENGTH: u64 = 30;

/// A directory is read whole: with 100 bytes a member this is more than a million.
const MAX_DIRECTORY: u64 = 128 << 20;
/// A symbolic link's content.
const MAX_LINK: u64 = 4095;
/// And its bytes in the archive: empty blocks can make them any number, to be read once for each link, before overlaps are found.
const MAX_PACKED_LINK: u64 = 2 * MAX_LINK;

const ENCRYPTED: u16 = 1;
const SIZES_FOLLOW: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
const MASKED: u16 = 1 << 13;

/// Calls `visit` with every member of the zip of `size` bytes, its two headers agreeing. Overlaps are found last: members are to
/// be believed when all of the walk has succeeded.
pub fn walk<R: ReadAt + ?Sized, E: From<Refused>>(
    zip: &R,
    size: u64,
    leniency: Leniency,
    mut visit: impl FnMut(Member, Slot) -> Result<(), E>,
) -> Result<(), E> {
    let directory = Directory::find(zip, size)?;
    let bytes = read(
        zip,
        usize::try_from(directory.length).unwrap_or(usize::MAX),
        directory.at,
    )?;
    let mut rest = bytes.as_slice();
    let mut places = Vec::new();
    for _ in 0..directory.count {
        let central = Central::parse(&mut rest, directory.shift)?;
        let slot = central.slot(zip)?;
        places.push(slot.bytes());
        if let Some(member) = central.member(zip, &slot, leniency)? {
            visit(member, slot)?;
        }
    }
    if !rest.is_empty() {
        return Err(damaged("its directory has more members than its end record says").into());
    }
    refuse_overlaps(places, directory.at)?;
    Ok(())
}

/// Has the file of `size` bytes an end record, and a directory before it?
pub(super) fn is_there<R: ReadAt + ?Sized>(zip: &R, size: u64) -> bool {
    Directory::find(zip, size).is_ok_and(|found| found.count > 0)
}

/// The same bytes in two members: how a small file becomes petabytes.
fn refuse_overlaps(mut places: Vec<Range<u64>>, directory: u64) -> Result<(), Refused> {
    places.sort_unstable_by_key(|place| place.start);
    let ends = places.iter().map(|place| place.start).skip(1).chain([directory]);
    for (place, next) in places.iter().zip(ends) {
        if place.end > next {
            return Err(Refused::Unsafe("two of its members overlap".into()));
        }
    }
    Ok(())
}

struct Directory {
    at: u64,
    length: u64,
    count: u64,
    /// What stands before the archive proper, such as a start script; offsets do not count it.
    shift: u64,
}

impl Directory {
    fn find<R: ReadAt + ?Sized>(zip: &R, size: u64) -> Result<Self, Refused> {
        let tail_length = size.min(END_LENGTH as u64 + u64::from(u16::MAX));
        let tail_at = size - tail_length;
        let tail = read(zip, usize::try_from(tail_length).unwrap_or(0), tail_at)?;
        // The end record is where its comment reaches the end of the file. Two such places are two archives in one.
        let mut ends = (0..=tail.len().saturating_sub(END_LENGTH)).rev().filter(|&at| {
            tail.len() >= at + END_LENGTH
                && u32_at(&tail, at) == END
                && at + END_LENGTH + usize::from(u16_at(&tail, at + 20)) == tail.len()
        });
        let end = ends
            .next()
            .ok_or_else(|| damaged("it has no end record: cut short, or not a zip"))?;
        if ends.next().is_some() {
            return Err(Refused::Unsafe("it has two end records".into()));
        }
        let record = &tail[end..];
        let mut found = Self {
            at: u64::from(u32_at(record, 16)),
            length: u64::from(u32_at(record, 12)),
            count: u64::from(u16_at(record, 10)),
            shift: 0,
        };
        let mut disks = [u32::from(u16_at(record, 4)), u32::from(u16_at(record, 6))];
        let mut behind = tail_at + end as u64;
        // Some writers add the 64-bit record also where the plain one holds all.
        if let Some((large, at)) = Self::find64(zip, behind)? {
            let agrees = |narrow: u64, maxed: u64, wide: u64| narrow == maxed || narrow == wide;
            let max = u64::from(u32::MAX);
            if !agrees(found.at, max, large.at)
                || !agrees(found.length, max, large.length)
                || !agrees(found.count, 0xffff, large.count)
            {
                return Err(Refused::Unsafe("it has two end records that disagree".into()));
            }
            (found, disks, behind) = (large, [0, 0], at);
        } else if u16_at(record, 8) != u16_at(record, 10) {
            return Err(Refused::Unsupported("it is split over several files".into()));
        }
        if disks != [0, 0] {
            return Err(Refused::Unsupported("it is split over several files".into()));
        }
        if found.length > MAX_DIRECTORY {
            return Err(Refused::Unsafe(format!("its directory has {} bytes", found.length)));
        }
        let at = behind
            .checked_sub(found.length)
            .ok_or_else(|| damaged("its directory is longer than the file"))?;
        found.shift = at
            .checked_sub(found.at)
            .ok_or_else(|| damaged("its directory is not where its end record says"))?;
        found.at = at;
        Ok(found)
    }

    /// The 64-bit end record, and where it starts. Its locator stands right before the plain one.
    fn find64<R: ReadAt + ?Sized>(zip: &R, end: u64) -> Result<Option<(Self, u64)>, Refused> {
        let Some(at) = end.checked_sub(20) else { return Ok(None) };
        let locator = read(zip, 20, at)?;
        if u32_at(&locator, 0) != END64_LOCATOR {
            return Ok(None);
        }
        // The record stands right before its locator; its own offset is only believed as far as that.
        let start = at
            .checked_sub(56)
            .ok_or_else(|| damaged("its 64-bit end record is missing"))?;
        let record = read(zip, 56, start)?;
        if u32_at(&record, 0) != END64 || u64_at(&record, 4) != 44 {
            return Err(damaged("its 64-bit end record is missing"));
        }
        if u32_at(&record, 16) != 0 || u32_at(&record, 20) != 0 || u64_at(&record, 24) != u64_at(&record, 32) {
            return Err(Refused::Unsupported("it is split over several files".into()));
        }
        let found = Self {
            at: u64_at(&record, 48),
            length: u64_at(&record, 40),
            count: u64_at(&record, 32),
            shift: 0,
        };
        Ok(Some((found, start)))
    }
}

/// One record of the central directory.
struct Central<'b> {
    fixed: &'b [u8],
    name: &'b [u8],
    extra: Extra,
    flags: u16,
    method: u16,
    header: u64,
}

impl<'b> Central<'b> {
    fn parse(rest: &mut &'b [u8], shift: u64) -> Result<Self, Refused> {
        let short = || damaged("its directory ends inside a member");
        let fixed = rest.get(..CENTRAL_LENGTH).ok_or_else(short)?;
        if u32_at(fixed, 0) != CENTRAL {
            return Err(damaged("its directory has fewer members than its end record says"));
        }
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at)));
        let name_end = CENTRAL_LENGTH + lengths[0];
        let extra_end = name_end + lengths[1];
        let name = rest.get(CENTRAL_LENGTH..name_end).ok_or_else(short)?;
        let extra = rest.get(name_end..extra_end).ok_or_else(short)?;
        *rest = rest.get(extra_end + lengths[2]..).ok_or_else(short)?;
        let extra = Extra::parse(
            extra,
            [u32_at(fixed, 24), u32_at(fixed, 20), u32_at(fixed, 42)],
            Some(name),
        )?;
        let header = extra
            .offset
            .checked_add(shift)
            .ok_or_else(|| damaged("an offset is beyond measure"))?;
        let found = Self {
            fixed,
            name,
            flags: u16_at(fixed, 8),
            method: u16_at(fixed, 10),
            header,
            extra,
        };
        found.refuse_unsupported()?;
        Ok(found)
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    fn refuse_unsupported(&self) -> Result<(), Refused> {
        let shown = self.shown();
        if self.flags & (ENCRYPTED | MASKED) != 0 {
            return Err(Refused::Unsupported(format!("the member {shown:?} is encrypted")));
        }
        let name = match self.method {
            number if Method::of(number).is_some() => None,
            9 => Some("deflate64"),
            12 => Some("bzip2"),
            14 => Some("lzma"),
            95 => Some("xz"),
            _ => Some("an unknown one"),
        };
        if let Some(name) = name {
            return Err(Refused::Unsupported(format!(
                "the member {shown:?} has the compression method {}, {name}",
                self.method
            )));
        }
        if self.method == 0 && self.extra.size != self.extra.compressed {
            return Err(damaged(&format!("the member {shown:?} is stored and has two sizes")));
        }
        Ok(())
    }

    /// Reads the local header, which has to say the same.
    fn slot<R: ReadAt + ?Sized>(&self, zip: &R) -> Result<Slot, Refused> {
        let differ = |what: &str| {
            Refused::Unsafe(format!(
                "the member {:?} has two headers that disagree about its {what}",
                self.shown()
            ))
        };
        let fixed = read(zip, 30, self.header)?;
        if u32_at(&fixed, 0) != LOCAL {
            return Err(damaged(&format!(
                "the member {:?} is not where the directory says",
                self.shown()
            )));
        }
        let (name_length, extra_length) = (u16_at(&fixed, 26), u16_at(&fixed, 28));
        let variable = read(
            zip,
            usize::from(name_length) + usize::from(extra_length),
            self.header + LOCAL_LENGTH,
        )?;
        let (name, extra) = variable.split_at(usize::from(name_length));
        let flags = u16_at(&fixed, 6);
        if name != self.name {
            return Err(differ("name"));
        }
        if u16_at(&fixed, 8) != self.method {
            return Err(differ("compression"));
        }
        if (flags ^ self.flags) & (ENCRYPTED | SIZES_FOLLOW | MASKED) != 0 {
            return Err(differ("flags"));
        }
        let crc = u32_at(self.fixed, 16);
        if flags & SIZES_FOLLOW == 0 {
            let local = Extra::parse(extra, [u32_at(&fixed, 22), u32_at(&fixed, 18), 0], None)?;
            if (local.size, local.compressed) != (self.extra.size, self.extra.compressed) {
                return Err(differ("size"));
            }
            if u32_at(&fixed, 14) != crc {
                return Err(differ("checksum"));
            }
        }
        Ok(Slot {
            header: self.header,
            data: self.header + LOCAL_LENGTH + u64::from(name_length) + u64::from(extra_length),
            compressed: self.extra.compressed,
            size: self.extra.size,
            crc,
            // Proved when the directory was read.
            method: Method::of(self.method).unwrap_or(Method::Stored),
        })
    }

    fn member<R: ReadAt + ?Sized>(&self, zip: &R, slot: &Slot, leniency: Leniency) -> Result<Option<Member>, Refused> {
        let made_by_unix = self.fixed[5] == 3;
        let name = match &self.extra.name {
            Some(name) => name.clone(),
            None => decode_name(self.name, self.flags & UTF8 != 0, made_by_unix)?,
        };
        let name = leniency.name(name);
        let unsafe_name = |why| {
            Refused::Unsafe(format!(
                "the member {:?} has a name that is refused: {why}",
                self.shown()
            ))
        };
        let path = match safe_path::relative(&name) {
            Ok(path) => path,
            Err(safe_path::Unsafe::Empty) if name.ends_with(b"/") => return Ok(None),
            Err(why) => return Err(unsafe_name(why)),
        };
        let unix = if made_by_unix { u32_at(self.fixed, 38) >> 16 } else { 0 };
        let is_dir = name.ends_with(b"/");
        let kind = match unix & 0o170_000 {
            _ if is_dir && slot.size == 0 => MemberKind::Dir,
            _ if is_dir => return Err(Refused::Unsafe(format!("the directory {:?} has content", self.shown()))),
            0o120_000 => MemberKind::Link(self.link(zip, slot)?),
            0 | 0o100_000 => MemberKind::File,
            0o040_000 => {
                return Err(Refused::Unsafe(format!(
                    "the member {:?} is a directory by its mode only",
                    self.shown()
                )));
            }
            _ => return Err(Refused::Unsafe(format!("the member {:?} is a device", self.shown()))),
        };
        let default = if is_dir { DIR_MODE } else { FILE_MODE };
        Ok(Some(Member {
            path,
            size: if kind == MemberKind::File { slot.size } else { 0 },
            sparse: false,
            kind,
            mode: if unix & 0o777 == 0 { default } else { unix & 0o777 },
            modified: self
                .extra
                .modified
                .unwrap_or_else(|| dos_time(u16_at(self.fixed, 14), u16_at(self.fixed, 12))),
        }))
    }

    fn link<R: ReadAt + ?Sized>(&self, zip: &R, slot: &Slot) -> Result<Vec<u8>, Refused> {
        if slot.size > MAX_LINK || slot.compressed > MAX_PACKED_LINK {
            return Err(Refused::Unsafe(format!(
                "the link {:?} has {} bytes, and {} when packed",
                self.shown(),
                slot.size,
                slot.compressed
            )));
        }
        let mut to = Vec::new();
        super::extract::member(zip, slot, &mut super::Scratch::default(), |bytes| {
            to.extend_from_slice(bytes);
            Ok::<(), Refused>(())
        })?;
        safe_path::link_content(&to)
            .map_err(|why| damaged(&format!("the link {:?} leads nowhere: {why}", self.shown())))?;
        Ok(to)
    }
}
