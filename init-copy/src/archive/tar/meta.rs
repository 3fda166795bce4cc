//! What long names (GNU) and PAX headers say of the member that follows them.

use std::io::Read;

use super::block::{damaged, number, padded, skip, text};
use super::sparse;
use crate::archive::Refused;
use crate::content::fingerprint::nanos;

/// Long names and PAX records; held in memory.
const MAX_META: u64 = 1 << 20;

/// What a long name or PAX header says about the member that follows it.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) modified: Option<i64>,
    pub(super) sparse: sparse::Records,
}

pub(super) fn read_meta(tar: &mut impl Read, kind: u8, size: u64, meta: &mut Meta) -> Result<(), Refused> {
    if size > MAX_META {
        return Err(Refused::Unsafe(format!("a name or header of {size} bytes")));
    }
    let mut bytes = Vec::new();
    tar.take(size).read_to_end(&mut bytes).map_err(damaged)?;
    if (bytes.len() as u64) < size {
        return Err(Refused::Damaged("it ends inside a header".into()));
    }
    skip(tar, padded(size)? - size)?;
    match kind {
        b'L' => meta.path = Some(text(&bytes).to_vec()),
        b'K' => meta.link = Some(text(&bytes).to_vec()),
        _ => read_pax(&bytes, meta)?,
    }
    Ok(())
}

/// Records `LENGTH KEY=VALUE\n`, where the length counts all of the record.
fn read_pax(mut bytes: &[u8], meta: &mut Meta) -> Result<(), Refused> {
    let broken = || Refused::Damaged("a PAX header is malformed".into());
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&b| b == b' ').ok_or_else(broken)?;
        let length: usize = number(&bytes[..space]).ok_or_else(broken)?;
        let record = bytes.get(space + 1..length).ok_or_else(broken)?;
        bytes = &bytes[length..];
        let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|&b| b == b'=').ok_or_else(broken)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => meta.path = Some(value.to_vec()),
            b"linkpath" => meta.link = Some(value.to_vec()),
            b"size" => meta.size = Some(number(value).ok_or_else(broken)?),
            b"mtime" => meta.modified = pax_time(value),
            _ if key.starts_with(b"GNU.sparse.") => meta.sparse.take(key, value).ok_or_else(broken)?,
            _ => {}
        }
    }
    Ok(())
}

/// `1700000000.123456789`.
fn pax_time(value: &[u8]) -> Option<i64> {
    let value = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
    let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(nanos(seconds.parse().ok()?, fraction.parse().ok()?))
}
