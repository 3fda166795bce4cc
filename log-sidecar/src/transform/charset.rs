//! Lines of old applications, which are not UTF-8.

use std::str;

use crate::batch::{Line, Segment};

/// What the bytes of such lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// ISO 8859-1: each byte is the code point of that number.
    Latin1,
    Windows1252,
}

/// Of windows-1252, from 0x80 on; the rest is as in ISO 8859-1. Source: <https://encoding.spec.whatwg.org/index-windows-1252.txt>.
const FROM_80: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Charset {
    fn char(self, byte: u8) -> char {
        match (self, byte) {
            (Self::Windows1252, 0x80..=0x9f) => FROM_80[usize::from(byte - 0x80)],
            _ => char::from(byte),
        }
    }

    /// Makes UTF-8 of the lines that are not; they keep their places in the file.
    pub(super) fn decode(self, segment: &mut Segment) {
        let is_text = |line: &Line| str::from_utf8(&segment.data[line.range()]).is_ok();
        if segment.lines.iter().all(is_text) {
            return;
        }
        let mut data = Vec::with_capacity(segment.data.len() + segment.data.len() / 8);
        for line in &mut segment.lines {
            let (start, bytes) = (data.len(), &segment.data[line.range()]);
            match str::from_utf8(bytes) {
                Ok(text) => data.extend_from_slice(text.as_bytes()),
                Err(_) => {
                    let text: String = bytes.iter().map(|&byte| self.char(byte)).collect();
                    data.extend_from_slice(text.as_bytes());
                }
            }
            *line = line.moved(start, data.len());
        }
        segment.data = data.into();
    }
}
