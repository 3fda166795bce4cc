//! Strings of JSON, written into a body in few large copies. Source: RFC 8259, section 7.

use pod_contract::units::hex_digits;

const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// Appends `text` in quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends `text` as it stands between quotes.
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len());
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        out.extend_from_slice(chunk);
        let found = special(u64::from_le_bytes(*chunk));
        if found == 0 {
            rest = after;
            continue;
        }
        let at = (found.trailing_zeros() / 8) as usize;
        out.truncate(out.len() - (8 - at));
        escaped(out, chunk[at]);
        rest = &rest[at + 1..];
    }
    for &byte in rest {
        if special(u64::from(byte) | u64::MAX << 8 & !TOPS) & 0xff == 0 {
            out.push(byte);
        } else {
            escaped(out, byte);
        }
    }
}

/// The top bit of each of eight bytes that has to be escaped; above the lowest one, others may be marked that have not.
fn special(eight: u64) -> u64 {
    let below = |limit: u64, word: u64| word.wrapping_sub(ONES * limit) & !word & TOPS;
    let is = |byte: u8| below(1, eight ^ (ONES * u64::from(byte)));
    below(0x20, eight) | is(b'"') | is(b'\\')
}

fn escaped(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\t' => out.extend_from_slice(b"\\t"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\n' => out.extend_from_slice(b"\\n"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend(hex_digits(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, text);
        out
    }

    #[test]
    fn every_byte_that_has_to_be_is_escaped_wherever_it_stands() {
        for code in (0..=0x7f_u8).map(char::from) {
            for before in 0..17 {
                let text = format!("{}{code}{}", "x".repeat(before), "é\u{7f}y");
                let read: String = serde_json::from_slice(&written(&text)).unwrap();
                assert_eq!(read, text, "{code:?} after {before}");
            }
        }
        assert_eq!(written("a\"b\\c\n"), br#""a\"b\\c\n""#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_slice::<String>(&written(&text)).unwrap(), text);
        }
    }
}
