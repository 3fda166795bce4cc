//! What text is made of: bytes, or the pairs of bytes of UTF-16.

use std::char::{REPLACEMENT_CHARACTER, decode_utf16};

/// Which files are UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Utf16 {
    /// Those that begin with a byte order mark, or with a character of ASCII in two bytes.
    Evident,
    /// All, the lower byte first.
    Little,
    /// All, the upper byte first.
    Big,
}

/// What text is counted in. A unit of two bytes stands at an even offset of its file; the functions of a text count from its start, which is
/// that of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::reader) enum Units {
    /// Of UTF-8, or of whatever has the line breaks of ASCII.
    Bytes,
    Little,
    Big,
}

impl Units {
    /// Those of a file that begins with `head`.
    pub(in crate::reader) fn of(utf16: Option<Utf16>, head: &[u8]) -> Self {
        match (utf16, head) {
            (Some(Utf16::Little), _) => Self::Little,
            (Some(Utf16::Big), _) => Self::Big,
            // What is truncated under its writer has lost its mark.
            (Some(Utf16::Evident), [0xff, 0xfe, ..] | [1..=0x7f, 0, ..]) => Self::Little,
            (Some(Utf16::Evident), [0xfe, 0xff, ..] | [0, 1..=0x7f, ..]) => Self::Big,
            (Some(Utf16::Evident) | None, _) => Self::Bytes,
        }
    }

    /// Bytes.
    pub(in crate::reader) fn width(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Little | Self::Big => 2,
        }
    }

    /// The length of the byte order mark that `bytes`, at `position` of a file, begin with.
    pub(in crate::reader) fn mark_at(self, position: u64, bytes: &[u8]) -> usize {
        let mark = match self {
            Self::Bytes => "\u{feff}".as_bytes(),
            Self::Little => &[0xff, 0xfe],
            Self::Big => &[0xfe, 0xff],
        };
        if position == 0 && bytes.starts_with(mark) {
            mark.len()
        } else {
            0
        }
    }

    /// Is the byte at `position` of a file the other half of a unit that was torn?
    pub(in crate::reader) fn is_torn_at(self, position: u64) -> bool {
        !position.is_multiple_of(self.width() as u64)
    }

    /// So many of `bytes` are of whole units.
    pub(in crate::reader) fn whole(self, bytes: usize) -> usize {
        bytes - bytes % self.width()
    }

    /// So many units that `bytes` are in them.
    pub(in crate::reader) fn around(self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.width())
    }

    /// Where in `text` line breaks start.
    pub(in crate::reader) fn breaks(self, text: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
        memchr::memchr_iter(b'\n', text).filter_map(move |at| match self {
            Self::Bytes => Some(at),
            Self::Little => (at % 2 == 0 && text.get(at + 1) == Some(&0)).then_some(at),
            Self::Big => (at % 2 == 1 && text[at - 1] == 0).then(|| at - 1),
        })
    }

    /// Does `text` end with a carriage return?
    pub(super) fn ends_with_return(self, text: &[u8]) -> bool {
        match self {
            Self::Bytes => text.ends_with(b"\r"),
            Self::Little => text.ends_with(&[b'\r', 0]),
            Self::Big => text.ends_with(&[0, b'\r']),
        }
    }

    /// See [`Self::decode`]; what is UTF-8 already is not copied.
    pub(in crate::reader) fn decoded(self, text: Vec<u8>) -> Vec<u8> {
        if self == Self::Bytes {
            return text;
        }
        let mut decoded = Vec::with_capacity(text.len());
        self.decode(&text, &mut decoded);
        decoded
    }

    /// Appends `text` as UTF-8; what is none, such as half of a pair, is U+FFFD.
    pub(super) fn decode(self, text: &[u8], out: &mut Vec<u8>) {
        let of = match self {
            Self::Bytes => return out.extend_from_slice(text),
            Self::Little => u16::from_le_bytes,
            Self::Big => u16::from_be_bytes,
        };
        let (pairs, rest) = text.as_chunks::<2>();
        let units = pairs.iter().map(|pair| of(*pair));
        let torn = (!rest.is_empty()).then_some(REPLACEMENT_CHARACTER);
        let chars = decode_utf16(units).map(|unit| unit.unwrap_or(REPLACEMENT_CHARACTER));
        for char in chars.chain(torn) {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
