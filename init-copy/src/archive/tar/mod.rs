//! A strict walk through a tar: ustar, GNU long names, PAX.
//!
//! Sources: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".

mod block;
mod meta;
mod sparse;

use std::io::Read;
use std::path::PathBuf;

use self::block::{Content, checksum_holds, damaged, octal, padded, read_block, read_some, skip, text};
use self::meta::{Meta, read_meta};
use super::{Leniency, Member, MemberKind, Refused};
use crate::content::fingerprint::nanos;
use crate::plan::safe_path;

pub(super) use block::BLOCK;
pub use block::is_header;

/// All headers of an archive may have so much, and so much more for each member: what a decompression bomb could be made of, too.
const MAX_BESIDE: u64 = 16 << 20;
const MAX_BESIDE_EACH: u64 = 16 << 10;
/// Records have 10 KiB; a tape's may have some MiB.
const MAX_PADDING: u64 = 16 << 20;

/// Reads `tar` to its end mark, and calls `visit` with each member, its number and its content (empty for all but files).
/// What `visit` leaves of the content is skipped.
pub fn walk<R: Read, E: From<Refused>>(
    mut tar: R,
    leniency: Leniency,
    mut visit: impl FnMut(u32, Member, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut meta = Meta::default();
    let mut number = 0_u32;
    let mut beside = Beside(0);
    let mut block = [0; BLOCK];
    loop {
        // GNU tar accepts an archive without its mark; but then one that was cut between two members is as good as whole.
        if !read_block(&mut tar, &mut block)? {
            if leniency.no_end && number > 0 {
                return Ok(());
            }
            let why = "it ends without its end mark; if it is known to be whole, --accept no-end takes it";
            return Err(Refused::Damaged(why.into()).into());
        }
        if block == [0; BLOCK] {
            return finish(tar).map_err(E::from);
        }
        if !checksum_holds(&block) {
            return Err(Refused::Damaged(format!("the header after member {number} has a wrong checksum")).into());
        }
        let stored = octal(&block[124..136]).ok_or_else(|| Refused::Damaged("a size is no number".into()))?;
        let kind = block[156];
        beside.count(kind, stored, number)?;
        if is_no_member(&mut tar, kind, stored, &mut meta)? {
            continue;
        }
        // The size of a PAX header is that of the member's content, which not every header field can hold.
        let stored = meta.size.unwrap_or(stored);
        let mut meta = std::mem::take(&mut meta);
        let records = std::mem::take(&mut meta.sparse);
        let holes = match kind {
            b'S' => Holes::Map(sparse::old_map(&mut tar, &block, stored)?),
            _ if records.is_there => Holes::Records(records),
            _ => Holes::None,
        };
        if let Holes::Records(sparse::Records { name: Some(name), .. }) = &holes {
            meta.path = Some(name.clone());
        }
        let name = leniency.name(meta.path.take().unwrap_or_else(|| header_name(&block)));
        let member = match member(&block, kind, stored, &name, meta, leniency) {
            Err(why @ (Refused::Unsafe(_) | Refused::Unsupported(_)))
                if leniency.layer && name.len() <= safe_path::MAX_PATH =>
            {
                Some(Member::unfit(&name, content_of(kind, stored)?, &why))
            }
            other => other?,
        };
        let stored = content_of(kind, stored)?;
        let mut content = Content::new(&mut tar, stored);
        if let Some(member) = member {
            number = number
                .checked_add(1)
                .ok_or_else(|| Refused::Unsupported("it has too many members".into()))?;
            holes.give(number, member, &mut content, &mut visit)?;
        }
        let left = content.left();
        skip(&mut tar, left)?;
        skip(&mut tar, padded(stored)? - stored)?;
    }
}

/// What is known of a member's holes before its content.
enum Holes {
    None,
    Map(sparse::Map),
    Records(sparse::Records),
}

impl Holes {
    fn give<R: Read, E: From<Refused>>(
        self,
        number: u32,
        mut member: Member,
        content: &mut Content<'_, R>,
        visit: &mut impl FnMut(u32, Member, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let map = match self {
            _ if member.kind != MemberKind::File => return visit(number, member, content),
            Self::None => return visit(number, member, content),
            Self::Map(map) => map,
            Self::Records(records) => records.map(content)?,
        };
        (member.size, member.sparse) = (map.size, true);
        visit(number, member, &mut sparse::Expanded::new(content, map))
    }
}

/// Reads what follows the end mark: zeros to a whole record, and below them the checksum of the compressed stream.
fn finish(mut tar: impl Read) -> Result<(), Refused> {
    let mut block = [0; BLOCK];
    let mut padding = 0;
    while read_some(&mut tar, &mut block)? > 0 {
        padding += BLOCK as u64;
        if block != [0; BLOCK] {
            return Err(Refused::Unsafe("there is something behind its end mark".into()));
        }
        if padding > MAX_PADDING {
            return Err(Refused::Unsafe(format!(
                "more than {MAX_PADDING} zeros follow its end mark"
            )));
        }
    }
    Ok(())
}

/// The member of a header; `None` for one without a name of its own, such as `./`.
fn member(
    block: &[u8; BLOCK],
    kind: u8,
    size: u64,
    name: &[u8],
    meta: Meta,
    leniency: Leniency,
) -> Result<Option<Member>, Refused> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let unsafe_name = |why| Refused::Unsafe(format!("the member {shown:?} has a name that is refused: {why}"));
    let full = || Refused::Unsafe(format!("the directory {shown:?} has content"));
    let path = match safe_path::relative(name) {
        Ok(path) => path,
        Err(safe_path::Unsafe::Empty) if kind == b'5' && !name.is_empty() => {
            return if size == 0 { Ok(None) } else { Err(full()) };
        }
        Err(why) => return Err(unsafe_name(why)),
    };
    let link = meta.link.unwrap_or_else(|| text(&block[157..257]).to_vec());
    let is_dir = kind == b'5' || (matches!(kind, b'0' | 0) && name.ends_with(b"/"));
    let kind = match kind {
        _ if is_dir => MemberKind::Dir,
        b'0' | 0 | b'7' | b'S' => MemberKind::File,
        b'1' => MemberKind::Hard(safe_path::relative(&leniency.name(link)).map_err(unsafe_name)?),
        b'2' => {
            safe_path::link_content(&link)
                .map_err(|why| Refused::Damaged(format!("the link {shown:?} leads nowhere: {why}")))?;
            MemberKind::Link(link)
        }
        b'3' | b'4' => return Err(Refused::Unsafe(format!("the member {shown:?} is a device"))),
        b'6' => return Err(Refused::Unsafe(format!("the member {shown:?} is a named pipe"))),
        other => {
            return Err(Refused::Unsupported(format!(
                "the member {shown:?} has the unknown type {:?}",
                char::from(other)
            )));
        }
    };
    if is_dir && size > 0 {
        return Err(full());
    }
    let mode = octal(&block[100..108]).unwrap_or(0) & 0o777;
    let seconds = octal(&block[136..148]).and_then(|s| i64::try_from(s).ok()).unwrap_or(0);
    Ok(Some(Member {
        path,
        size: if kind == MemberKind::File { size } else { 0 },
        sparse: false,
        kind,
        mode: u32::try_from(mode).unwrap_or(0),
        modified: meta.modified.unwrap_or(nanos(seconds, 0)),
    }))
}

/// Bytes that are of no member's content.
struct Beside(u64);

impl Beside {
    fn count(&mut self, kind: u8, stored: u64, members: u32) -> Result<(), Refused> {
        let content = if matches!(kind, b'L' | b'K' | b'x' | b'g') {
            stored
        } else {
            0
        };
        self.0 = self.0.saturating_add(BLOCK as u64).saturating_add(content);
        if self.0 <= MAX_BESIDE + u64::from(members) * MAX_BESIDE_EACH {
            return Ok(());
        }
        let why = format!("its headers have {} bytes, for {members} members", self.0);
        Err(Refused::Unsafe(why))
    }
}

/// Takes what is said of the member that follows, of all members, or of the volume.
fn is_no_member(tar: &mut impl Read, kind: u8, stored: u64, meta: &mut Meta) -> Result<bool, Refused> {
    match kind {
        b'L' | b'K' | b'x' => read_meta(tar, kind, stored, meta)?,
        b'g' => {
            // It means all members that follow, and readers disagree about what it may say of them.
            let mut global = Meta::default();
            read_meta(tar, kind, stored, &mut global)?;
            if global.path.is_some() || global.link.is_some() || global.size.is_some() || global.sparse.is_there {
                return Err(Refused::Unsafe("a global header gives names or sizes".into()));
            }
        }
        // GNU: the label of the volume.
        b'V' => skip(tar, padded(content_of(kind, stored)?)?)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Bytes of content that follow the header. Links and directories carry none; a size there is one that readers disagree about.
fn content_of(kind: u8, size: u64) -> Result<u64, Refused> {
    if size == 0 || matches!(kind, b'0' | 0 | b'7' | b'S') {
        return Ok(size);
    }
    let kind = char::from(kind);
    Err(Refused::Unsafe(format!("a member of type {kind:?} has content")))
}

fn header_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix = text(&block[345..500]);
    // Only POSIX's own format has a prefix there; GNU's keeps other things in the same place.
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

/// The path of every member, for tests and fuzzing.
pub fn list(tar: impl Read) -> Result<Vec<PathBuf>, Refused> {
    let mut paths = Vec::new();
    walk(tar, Leniency::default(), |_, member, content| {
        // A hole may be as long as a disk.
        if !member.sparse {
            std::io::copy(content, &mut std::io::sink()).map_err(damaged)?;
        }
        paths.push(member.path);
        Ok::<(), Refused>(())
    })?;
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, kind: u8, size: usize) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = kind;
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        block
    }

    #[test]
    fn content_of_the_root_is_not_read_as_members() {
        let hidden = header("hidden", b'0', 0);
        for name in ["a/", "./"] {
            for (size, good) in [(0, true), (BLOCK, false)] {
                let tar = [header(name, b'5', size), hidden, [0; BLOCK], [0; BLOCK]].concat();
                assert_eq!(list(tar.as_slice()).is_ok(), good, "{name} {size}");
            }
        }
    }
}
