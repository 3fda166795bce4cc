//! The little of `MessagePack` that servers send: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::io;

use rmp::Marker;
use rmp::decode::read_marker;
use tokio::io::AsyncReadExt as _;

use super::Connection;

/// A greeting has some hundred bytes.
const MAX_BYTES: usize = 4096;
const MAX_DEPTH: usize = 4;

/// A value; numbers say nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sink) enum Value {
    Nothing,
    Flag(bool),
    /// Or a text.
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members
                .iter()
                .find(|(key, _)| key.text() == Some(name))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

/// The next message.
///
/// # Errors
/// Also of one that is larger than 4 KiB, or not of this format.
pub(super) async fn receive(stream: &mut dyn Connection) -> io::Result<Value> {
    let mut bytes = Vec::new();
    loop {
        match decode(&mut bytes.as_slice(), MAX_DEPTH) {
            Ok(value) => return Ok(value),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Err(_) if bytes.len() >= MAX_BYTES => return Err(io::Error::other("its answer is too long")),
            Err(_) => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it hangs up without an answer",
            ));
        }
    }
}

/// Reads one value; the kind of error is `UnexpectedEof` if there may be more to come.
pub(in crate::sink) fn decode(bytes: &mut &[u8], depth: usize) -> io::Result<Value> {
    let marker = read_marker(bytes).map_err(|error| error.0)?;
    let length = |bytes: &mut &[u8], width: usize| -> io::Result<usize> {
        let digits = take(bytes, width)?;
        Ok(digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
    };
    let count = match marker {
        Marker::Null => return Ok(Value::Nothing),
        Marker::True => return Ok(Value::Flag(true)),
        Marker::False => return Ok(Value::Flag(false)),
        Marker::FixPos(_) | Marker::FixNeg(_) => return Ok(Value::Nothing),
        Marker::U8 | Marker::I8 => return take(bytes, 1).map(|_| Value::Nothing),
        Marker::U16 | Marker::I16 => return take(bytes, 2).map(|_| Value::Nothing),
        Marker::U32 | Marker::I32 | Marker::F32 => return take(bytes, 4).map(|_| Value::Nothing),
        Marker::U64 | Marker::I64 | Marker::F64 => return take(bytes, 8).map(|_| Value::Nothing),
        Marker::FixStr(count) | Marker::FixArray(count) | Marker::FixMap(count) => usize::from(count),
        Marker::Str8 | Marker::Bin8 => length(bytes, 1)?,
        Marker::Str16 | Marker::Bin16 | Marker::Array16 | Marker::Map16 => length(bytes, 2)?,
        Marker::Str32 | Marker::Bin32 | Marker::Array32 | Marker::Map32 => length(bytes, 4)?,
        _ => return Err(io::Error::other("its answer is not understood")),
    };
    let is_list = matches!(marker, Marker::FixArray(_) | Marker::Array16 | Marker::Array32);
    let is_map = matches!(marker, Marker::FixMap(_) | Marker::Map16 | Marker::Map32);
    if !is_list && !is_map {
        return take(bytes, count).map(|bytes| Value::Bytes(bytes.to_vec()));
    }
    if depth == 0 || count > MAX_BYTES {
        return Err(io::Error::other("its answer is too large"));
    }
    if is_list {
        let items = (0..count).map(|_| decode(bytes, depth - 1));
        return items.collect::<io::Result<_>>().map(Value::List);
    }
    let members = (0..count).map(|_| Ok((decode(bytes, depth - 1)?, decode(bytes, depth - 1)?)));
    members.collect::<io::Result<_>>().map(Value::Map)
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> io::Result<&'b [u8]> {
    if count > MAX_BYTES {
        return Err(io::Error::other("its answer is too long"));
    }
    let (taken, rest) = bytes.split_at_checked(count).ok_or(io::ErrorKind::UnexpectedEof)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_read_and_what_is_cut_waits_for_more() {
        let helo = b"\x92\xa4HELO\x83\xa5nonce\xc4\x02\xff\x00\xa4auth\xa0\xa9keepalive\xc3";
        let value = decode(&mut &helo[..], MAX_DEPTH).unwrap();
        assert_eq!(value.items()[0].text(), Some("HELO"));
        assert_eq!(
            value.items()[1].member("nonce").unwrap().bytes(),
            Some(&b"\xff\x00"[..])
        );
        assert_eq!(value.items()[1].member("keepalive"), Some(&Value::Flag(true)));
        for end in 0..helo.len() {
            let error = decode(&mut &helo[..end], MAX_DEPTH).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
        for bad in [
            &b"\xc1"[..],
            b"\xdd\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\x91\x91\x91\x91\x91\x91",
            b"\xd7\x00",
        ] {
            let error = decode(&mut &bad[..], MAX_DEPTH).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::UnexpectedEof, "{bad:?}");
        }
    }
}
