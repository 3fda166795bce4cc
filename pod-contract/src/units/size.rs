//! `64KiB`, `1GB`.

use std::fmt;

use crate::config::Setting;

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The amount as a length of something in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize(self.0).display().iec().fmt(f)
    }
}

impl Setting for Bytes {
    const FORM: &'static str = "a size with a unit, such as 64KiB, 16MiB or 1GB";

    fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err("it has no unit".into());
        }
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        for (text, bytes) in [("64KiB", 65_536), ("16Mi", 16 << 20), ("1GB", 1_000_000_000), ("0B", 0)] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text:?}");
        }
        for bad in ["64", "1.5", "", "MiB", "5 elephants", "-1KiB"] {
            assert!(Bytes::parse(bad).is_err(), "{bad:?}");
        }
    }
}
