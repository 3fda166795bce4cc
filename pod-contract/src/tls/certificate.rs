//! What we look at ourselves in a certificate. Source: RFC 5280, sections 4.1 and 4.2.1.

use std::time::UNIX_EPOCH;

/// From when until when it is valid, in seconds since 1970; `None` when it is no certificate.
pub(super) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (_, rest) = fields(certificate)?;
    let (_, validity, _) = element(rest)?;
    let (from_tag, from, rest) = element(validity)?;
    let (until_tag, until, _) = element(rest)?;
    Some((time(from_tag, from)?, time(until_tag, until)?))
}

/// May it sign others? One of the first version, which cannot say, may.
pub(super) fn is_authority(certificate: &[u8]) -> bool {
    /// basicConstraints and keyUsage.
    const CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    const USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    let Some((has_version, rest)) = fields(certificate) else {
        return false;
    };
    if !has_version {
        return true;
    }
    // What `webpki` takes for an anchor is not asked whether it is one.
    let is_ca = extension(rest, CONSTRAINTS)
        .and_then(element)
        .and_then(|(_, content, _)| element(content));
    let is_ca = is_ca.is_some_and(|(tag, content, _)| tag == 0x01 && content == [0xff]);
    // The first byte tells unused bits; keyCertSign is the sixth of the next one.
    let signs = match extension(rest, USAGE).and_then(element) {
        Some((0x03, bits, _)) => bits.get(1).is_some_and(|bits| bits & 0x04 != 0),
        _ => true,
    };
    is_ca && signs
}

/// The content of an extension, of what follows a certificate's issuer.
fn extension<'c>(mut rest: &'c [u8], wanted: &[u8]) -> Option<&'c [u8]> {
    while let Some((tag, content, after)) = element(rest) {
        rest = after;
        if tag != 0xa3 {
            continue;
        }
        let (_, mut all, _) = element(content)?;
        while let Some((_, one, after)) = element(all) {
            all = after;
            let (_, id, mut value) = element(one)?;
            if element(value).is_some_and(|(tag, ..)| tag == 0x01) {
                value = element(value)?.2;
            }
            if id == wanted {
                return element(value).map(|(_, content, _)| content);
            }
        }
    }
    None
}

/// Has it a version, and what follows its issuer?
fn fields(certificate: &[u8]) -> Option<(bool, &[u8])> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // Serial number, algorithm and issuer come before it.
    let has_version = element(rest)?.0 == 0xa0;
    for _ in 0..if has_version { 4 } else { 3 } {
        rest = element(rest)?.2;
    }
    Some((has_version, rest))
}

/// Tag, content and what follows of a DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |n, &digit| n << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `261125120000Z` (UTCTime, 1950 to 2049) or `20501125120000Z` (GeneralizedTime).
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        0x17 if text.get(..2)? < "50" => format!("20{text}"),
        0x17 => format!("19{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize| text.get(from..from + 2);
    // Before 1970, from which the time counts, is from ever.
    if text.get(..4)? < "1970" {
        return Some(0);
    }
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        text.get(..4)?,
        part(4)?,
        part(6)?,
        part(8)?,
        part(10)?,
        part(12)?
    );
    let at = humantime::parse_rfc3339(&rfc3339).ok()?;
    Some(at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
