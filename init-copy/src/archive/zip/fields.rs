//! The variable fields of a header: 64-bit sizes, times, names.

use super::{damaged, u16_at, u32_at, u64_at};
use crate::archive::Refused;
use crate::content::fingerprint::nanos;

/// What the extra field says, and what it leaves as the fixed fields have it.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) size: u64,
    pub(super) compressed: u64,
    pub(super) offset: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: Option<i64>,
    /// In UTF-8, in the place of the name in the header.
    pub(super) name: Option<Vec<u8>>,
}

impl Extra {
    /// `narrow` are the 32-bit size, compressed size and offset; one of all ones stands in the 64-bit field (APPNOTE 4.5.3). The
    /// directory's own field comes with the member's `name`.
    pub(super) fn parse(mut bytes: &[u8], narrow: [u32; 3], name: Option<&[u8]>) -> Result<Self, Refused> {
        let local = name.is_none();
        let mut utf8 = None;
        let mut wide = narrow.map(u64::from);
        let mut modified = None;
        let mut has64 = false;
        // Up to three bytes of padding are found in the wild (Android's zipalign).
        while bytes.len() >= 4 {
            let (id, length) = (u16_at(bytes, 0), usize::from(u16_at(bytes, 2)));
            let Some(field) = bytes.get(4..4 + length) else {
                if local {
                    break;
                }
                return Err(damaged("an extra field is cut short"));
            };
            bytes = &bytes[4 + length..];
            match id {
                0x0001 if has64 => return Err(Refused::Unsafe("a member has two 64-bit sizes".into())),
                0x0001 => {
                    has64 = true;
                    widen(&mut wide, narrow, field, local)?;
                }
                // Info-ZIP Unicode Path: version, checksum of the name that it was made for, name (APPNOTE 4.6.9).
                0x7075 if field.len() > 5 && field[0] == 1 => {
                    let of_this = name.is_some_and(|name| crc32fast::hash(name) == u32_at(field, 1));
                    if of_this && std::str::from_utf8(&field[5..]).is_ok() {
                        utf8 = Some(field[5..].to_vec());
                    }
                }
                // Extended timestamp: seconds since 1970.
                0x5455 if field.len() >= 5 && field[0] & 1 != 0 => {
                    modified = Some(nanos(i64::from(u32_at(field, 1).cast_signed()), 0));
                }
                _ => {}
            }
        }
        let wanted = if local { &narrow[..2] } else { &narrow[..] };
        if !has64 && wanted.contains(&u32::MAX) {
            return Err(damaged("a 64-bit size is missing"));
        }
        Ok(Self {
            size: wide[0],
            compressed: wide[1],
            offset: wide[2],
            modified,
            name: utf8,
        })
    }
}

fn widen(wide: &mut [u64; 3], narrow: [u32; 3], mut field: &[u8], local: bool) -> Result<(), Refused> {
    for (wide, narrow) in wide.iter_mut().zip(narrow).take(if local { 2 } else { 3 }) {
        if narrow == u32::MAX {
            if field.len() < 8 {
                return Err(damaged("a 64-bit size is cut short"));
            }
            *wide = u64_at(field, 0);
            field = &field[8..];
        }
    }
    Ok(())
}

/// Nanoseconds since 1970 of a DOS date and time, taken as UTC.
pub(super) fn dos_time(date: u16, time: u16) -> i64 {
    let (year, month, day) = (
        1980 + i64::from(date >> 9),
        i64::from(date >> 5 & 15),
        i64::from(date & 31),
    );
    // Days from a civil date, by Howard Hinnant's "chrono-compatible low-level date algorithms".
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let era = year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let year_of_era = year - era * 400;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = i64::from(time >> 11) * 3600 + i64::from(time >> 5 & 63) * 60 + i64::from(time & 31) * 2;
    nanos(days * 86_400 + seconds, 0)
}

/// A member's name, as `unzip` takes it: UTF-8 when flagged so; the bytes as they are when made on Unix, whatever its locale was; else
/// code page 437 (APPNOTE appendix D).
pub(super) fn decode_name(name: &[u8], utf8: bool, made_by_unix: bool) -> Result<Vec<u8>, Refused> {
    if utf8 && std::str::from_utf8(name).is_err() {
        return Err(damaged("a name that should be UTF-8 is not"));
    }
    if utf8 || made_by_unix || name.is_ascii() {
        return Ok(name.to_vec());
    }
    let letter = |&byte: &u8| {
        let above = usize::from(byte).checked_sub(128);
        above.and_then(|at| CP437.get(at).copied()).unwrap_or(char::from(byte))
    };
    Ok(name.iter().map(letter).collect::<String>().into_bytes())
}

#[rustfmt::skip]
const CP437: [char; 128] = [
    'Ç','ü','é','â','ä','à','å','ç','ê','ë','è','ï','î','ì','Ä','Å','É','æ','Æ','ô','ö','ò','û','ù','ÿ','Ö','Ü','¢','£','¥','₧','ƒ',
    'á','í','ó','ú','ñ','Ñ','ª','º','¿','⌐','¬','½','¼','¡','«','»','░','▒','▓','│','┤','╡','╢','╖','╕','╣','║','╗','╝','╜','╛','┐',
    '└','┴','┬','├','─','┼','╞','╟','╚','╔','╩','╦','╠','═','╬','╧','╨','╤','╥','╙','╘','╒','╓','╫','╪','┘','┌','█','▄','▌','▐','▀',
    'α','ß','Γ','π','Σ','σ','µ','τ','Φ','Θ','Ω','δ','∞','φ','ε','∩','≡','±','≥','≤','⌠','⌡','÷','≈','°','∙','·','√','ⁿ','²','■','\u{a0}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_days_and_two_seconds() {
        // 2026-11-21 10:20:30, against `date -u -d … +%s`.
        let date = (46 << 9) | (11 << 5) | 21;
        let time = (10 << 11) | (20 << 5) | 15;
        assert_eq!(dos_time(date, time), 1_795_256_430 * 1_000_000_000);
        assert_eq!(dos_time((1 << 5) | 1, 0), 315_532_800 * 1_000_000_000);
    }

    #[test]
    fn names_are_utf8_or_code_page_437() {
        assert_eq!(decode_name("é".as_bytes(), true, false).unwrap(), "é".as_bytes());
        assert_eq!(decode_name("é".as_bytes(), false, true).unwrap(), "é".as_bytes());
        assert_eq!(
            decode_name(b"\xe9", false, true).unwrap(),
            b"\xe9",
            "latin1, as Unix wrote it"
        );
        assert_eq!(decode_name(b"\x82", false, false).unwrap(), "é".as_bytes());
        decode_name(b"\x82", true, false).unwrap_err();
    }
}
