//! What the text of files is.

use pod_contract::config::Word;

use crate::reader::Utf16;
use crate::transform::Charset;

/// Of files, or lines, that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Charset(Charset),
    Utf16(Utf16),
}

impl Word for Encoding {
    const FORM: &'static str = "latin1, windows-1252, utf-16, utf-16le or utf-16be";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("latin1", Self::Charset(Charset::Latin1)),
        ("windows-1252", Self::Charset(Charset::Windows1252)),
        ("utf-16", Self::Utf16(Utf16::Evident)),
        ("utf-16le", Self::Utf16(Utf16::Little)),
        ("utf-16be", Self::Utf16(Utf16::Big)),
    ];
}

impl Encoding {
    pub(super) fn charset(self) -> Option<Charset> {
        match self {
            Self::Charset(charset) => Some(charset),
            Self::Utf16(_) => None,
        }
    }

    pub(super) fn utf16(self) -> Option<Utf16> {
        match self {
            Self::Utf16(utf16) => Some(utf16),
            Self::Charset(_) => None,
        }
    }
}
