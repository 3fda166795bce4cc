//! What nobody is to see, masked in its place: length and structure of a line stay, so that JSON is still JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::{memchr2_iter, memmem};
use pod_contract::config::Setting;

use crate::parse::Expression;

const MASK: u8 = b'*';

/// What is masked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Redact {
    /// What follows `Bearer` or `Basic`.
    Bearer,
    /// Keys that say by their look what they are.
    CloudKeys,
    /// Card numbers but for the last four digits.
    Cards,
    /// The first group of each match, or all of it.
    Pattern(Expression),
}

impl Setting for Redact {
    const FORM: &'static str = "bearer, cloud-keys, cards, or /REGEX/";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "bearer" => Self::Bearer,
            "cloud-keys" => Self::CloudKeys,
            "cards" => Self::Cards,
            _ if text.starts_with('/') => Self::Pattern(Expression::parse(text)?),
            _ => return Err("it is neither a name nor a /REGEX/".into()),
        })
    }
}

/// A key: how it begins, the letters that follow, and how many of these there are at least. Sources: the documentation of AWS (unique
/// identifiers of IAM), Google (API keys), GitHub, GitLab and Slack (token formats).
struct Key {
    prefix: &'static [u8],
    rest: fn(u8) -> bool,
    least: usize,
}

const fn key(prefix: &'static [u8], rest: fn(u8) -> bool, least: usize) -> Key {
    Key { prefix, rest, least }
}

const KEYS: [Key; 14] = [
    key(b"AKIA", is_capital_or_digit, 16),
    key(b"ASIA", is_capital_or_digit, 16),
    key(b"AIza", is_word, 35),
    key(b"ya29.", is_word, 20),
    key(b"ghp_", is_word, 36),
    key(b"gho_", is_word, 36),
    key(b"ghu_", is_word, 36),
    key(b"ghs_", is_word, 36),
    key(b"ghr_", is_word, 36),
    key(b"github_pat_", is_word, 36),
    key(b"glpat-", is_word, 20),
    key(b"xoxa-", is_word, 20),
    key(b"xoxb-", is_word, 20),
    key(b"xoxp-", is_word, 20),
];

/// What holds a key that has no look of its own, of AWS and Azure; in whatever letters.
const NAMES: [&[u8]; 3] = [b"aws_secret_access_key", b"secretaccesskey", b"accountkey"];
const LEAST_NAMED: usize = 30;

fn is_capital_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

/// RFC 6750, section 2.1.
fn is_token(byte: u8) -> bool {
    is_base64(byte) || b"-._~".contains(&byte)
}

const LEAST_TOKEN: usize = 8;

impl Redact {
    /// True if something was masked.
    pub(super) fn mask(&self, text: &mut [u8]) -> bool {
        match self {
            Self::Bearer => {
                let is_bearer = mask_named(text, b"bearer", |text| {
                    run(text, is_token).filter(|length| *length >= LEAST_TOKEN)
                });
                mask_named(text, b"basic", login) | is_bearer
            }
            Self::CloudKeys => {
                // What says which kind of key it is may stay.
                let by_look = KEYS.iter().fold(false, |is_masked, key| {
                    let starts: Vec<usize> = memmem::find_iter(text, key.prefix)
                        .map(|at| at + key.prefix.len())
                        .collect();
                    let found = |text: &[u8]| run(text, key.rest).filter(|length| *length >= key.least);
                    mask_at(text, &starts, found) | is_masked
                });
                NAMES.iter().fold(by_look, |is_masked, name| {
                    let found = |text: &[u8]| run(text, is_base64).filter(|length| *length >= LEAST_NAMED);
                    mask_named(text, name, found) | is_masked
                })
            }
            Self::Cards => mask_cards(text),
            Self::Pattern(expression) => mask_matches(text, expression),
        }
    }
}

/// How many bytes at the start are such, as they are or as JSON escapes them.
fn run(text: &[u8], is_part: fn(u8) -> bool) -> Option<usize> {
    let mut length = 0;
    while let Some((&first, rest)) = text[length..].split_first() {
        length += match (first, rest) {
            (b'\\', [b'/', ..]) => 2,
            (b'\\', [b'u', b'0', b'0', ..]) if rest.len() >= 5 => 6,
            _ if is_part(first) => 1,
            _ => break,
        };
    }
    (length > 0).then_some(length)
}

/// A name and a password, RFC 7617.
fn login(text: &[u8]) -> Option<usize> {
    let length = run(text, is_base64)?;
    let plain: Vec<u8> = text[..length].iter().copied().filter(|byte| *byte != b'\\').collect();
    let whole = plain.iter().take_while(|byte| **byte != b'=').count();
    // One more of a group of four says nothing.
    let whole = if whole % 4 == 1 { whole - 1 } else { whole };
    let decoded = STANDARD_NO_PAD.decode(&plain[..whole]).ok();
    // With escapes that hide what it is, it is taken for one.
    let is_login = decoded.map_or(plain.contains(&b'u'), |decoded| decoded.contains(&b':'));
    is_login.then_some(length)
}

/// What stands between a name and its value.
const BETWEEN: &[u8] = b" \t:='\"\\";
const MOST_BETWEEN: usize = 8;

/// Masks what follows a name, in whatever letters, and something between.
fn mask_named(text: &mut [u8], name: &[u8], found: impl Fn(&[u8]) -> Option<usize>) -> bool {
    let (lower, upper) = (name[0], name[0].to_ascii_uppercase());
    let is_name = |at: &usize| {
        text.get(*at..at + name.len())
            .is_some_and(|word| word.eq_ignore_ascii_case(name))
    };
    let ends = memchr2_iter(lower, upper, text)
        .filter(is_name)
        .map(|at| at + name.len());
    let starts: Vec<usize> = ends
        .filter_map(|end| {
            let blank = text[end..].strip_prefix(b"\\u0020".as_slice()).map(|_| 6);
            let between = text[end..]
                .iter()
                .take(MOST_BETWEEN)
                .take_while(|byte| BETWEEN.contains(byte));
            let between = blank.unwrap_or_else(|| between.count());
            (between > 0).then_some(end + between)
        })
        .collect();
    mask_at(text, &starts, found)
}

fn mask_at(text: &mut [u8], starts: &[usize], found: impl Fn(&[u8]) -> Option<usize>) -> bool {
    let mut is_masked = false;
    for &start in starts {
        if let Some(length) = found(&text[start..]) {
            text[start..start + length].fill(MASK);
            is_masked = true;
        }
    }
    is_masked
}

fn mask_matches(text: &mut [u8], Expression(regex): &Expression) -> bool {
    let spans = |text: &str| -> Vec<_> {
        let spans = regex
            .captures_iter(text)
            .filter_map(|captures| captures.get(1).or_else(|| captures.get(0)));
        spans.map(|span| span.range()).collect()
    };
    let found = match str::from_utf8(text) {
        Ok(text) => spans(text),
        // Something of the same length in the place of each byte that is no text.
        Err(_) => {
            let mut whole = String::with_capacity(text.len());
            for chunk in text.utf8_chunks() {
                whole.push_str(chunk.valid());
                whole.extend(chunk.invalid().iter().map(|_| '?'));
            }
            spans(&whole)
        }
    };
    let is_masked = found.iter().any(|span| !span.is_empty());
    found.into_iter().for_each(|span| text[span].fill(MASK));
    is_masked
}

/// Digits, in one piece or in groups with single blanks or hyphens between them, as issuers number their cards, with the right check digit.
fn mask_cards(text: &mut [u8]) -> bool {
    let (mut is_masked, mut at) = (false, 0);
    while let Some(start) = text[at..].iter().position(u8::is_ascii_digit).map(|index| at + index) {
        let first_end = end_of_digits(text, start);
        at = first_end;
        let Some(digits) = card_at(text, start).filter(|_| !is_in_word(&text[..start])) else {
            continue;
        };
        at = digits[digits.len() - 1] + 1;
        // A number that stands in JSON without quotes has to stay one.
        let is_number = text.trim_ascii_start().starts_with(b"{") && !is_in_quotes(&text[..start]);
        let (shown, mask) = if is_number { (1, b'0') } else { (0, MASK) };
        digits[shown..digits.len() - 4]
            .iter()
            .for_each(|&index| text[index] = mask);
        is_masked = true;
    }
    is_masked
}

/// Does a word go on that has begun in what stands `before`? An escape of JSON is none.
fn is_in_word(before: &[u8]) -> bool {
    match before {
        [.., b'\\', b'n' | b't' | b'r'] => false,
        [.., last] => last.is_ascii_alphanumeric() || b"._".contains(last),
        [] => false,
    }
}

/// Of JSON: is a text open at the end of what stands `before`?
fn is_in_quotes(before: &[u8]) -> bool {
    let (mut is_open, mut is_escaped) = (false, false);
    for &byte in before {
        is_open ^= byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
    }
    is_open
}

fn end_of_digits(text: &[u8], start: usize) -> usize {
    text[start..]
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .map_or(text.len(), |length| start + length)
}

/// Where the digits of a card stand, if its number begins at `start`.
fn card_at(text: &[u8], start: usize) -> Option<Vec<usize>> {
    /// Digits of a group.
    const GROUP: std::ops::RangeInclusive<usize> = 3..=6;
    let (mut digits, mut from) = (Vec::new(), start);
    loop {
        let end = end_of_digits(text, from);
        digits.extend(from..end);
        let ends_word = !text
            .get(end)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if digits.len() > LONGEST_CARD {
            return None;
        }
        if ends_word && is_card(&digits.iter().map(|&index| text[index] - b'0').collect::<Vec<_>>()) {
            return Some(digits);
        }
        let goes_on = matches!(text.get(end), Some(b' ' | b'-')) && text.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !goes_on || !GROUP.contains(&(end - from)) {
            return None;
        }
        from = end + 1;
    }
}

const LONGEST_CARD: usize = 19;

/// By the ranges of issuers (ISO/IEC 7812) and the check digit.
fn is_card(digits: &[u8]) -> bool {
    let leading = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    let is_issued = match digits.len() {
        13 => leading(1) == 4,
        14 => matches!(leading(3), 300..=305) || matches!(leading(2), 36 | 38),
        15 => matches!(leading(2), 34 | 37),
        16 => {
            leading(1) == 4
                || matches!(leading(2), 51..=55 | 65 | 62)
                || matches!(leading(4), 2221..=2720 | 6011 | 3528..=3589)
        }
        19 => leading(1) == 4 || leading(2) == 62,
        _ => false,
    };
    let luhn = digits.iter().rev().enumerate().map(|(index, &digit)| match index % 2 {
        0 => u32::from(digit),
        _ if digit > 4 => u32::from(digit) * 2 - 9,
        _ => u32::from(digit) * 2,
    });
    is_issued && luhn.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(redact: &str, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let is_masked = Redact::parse(redact).unwrap().mask(&mut bytes);
        let found = String::from_utf8(bytes).unwrap();
        assert_eq!((is_masked, found.len()), (found != text, text.len()));
        found
    }

    const CASES: &[(&str, &str, &str)] = &[
        (
            "bearer",
            "Authorization: Bearer abc.def-123 ok",
            "Authorization: Bearer *********** ok",
        ),
        (
            "bearer",
            r#"{"authorization":"bearer abcdefgh"}"#,
            r#"{"authorization":"bearer ********"}"#,
        ),
        ("bearer", "Basic dXNlcjpwYXNz", "Basic ************"),
        (
            "bearer",
            "Basic dTpw, basic information",
            "Basic ****, basic information",
        ),
        (
            "bearer",
            r#"{"a":"Basic dXNlcjpwYX\/Nz=="}"#,
            r#"{"a":"Basic ****************"}"#,
        ),
        (
            "bearer",
            "BEARER\tabcdefgh bearer:  abcdefgh",
            "BEARER\t******** bearer:  ********",
        ),
        (
            "bearer",
            r#"{"a":"Bearer\u0020abcd\u002Befgh"}"#,
            r#"{"a":"Bearer\u0020**************"}"#,
        ),
        (
            "cloud-keys",
            r#"aws_secret_access_key = wJalrXUtnFEMI\/K7MDENGbPxRfiCYEXAMPLEKEY {"AccountKey":"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"}"#,
            r#"aws_secret_access_key = **************************************** {"AccountKey":"**************************************"}"#,
        ),
        (
            "cards",
            r#"{"m":"card\n4111111111111111"}"#,
            r#"{"m":"card\n************1111"}"#,
        ),
        (
            "cards",
            r#"{"c":[4111111111111111], "m":"card: 4111111111111111"}"#,
            r#"{"c":[4000000000001111], "m":"card: ************1111"}"#,
        ),
        ("bearer", "the bearer of news", "the bearer of news"),
        ("cloud-keys", "id AKIAABCDEFGHIJKLMNOP.", "id AKIA****************."),
        ("cloud-keys", "AKIAshort and AKIA", "AKIAshort and AKIA"),
        ("cards", "pay 4111 1111 1111 1111 now", "pay **** **** **** 1111 now"),
        ("cards", "4111-1111-1111-1111", "****-****-****-1111"),
        (
            "cards",
            "378282246310005,4111111111111112",
            "***********0005,4111111111111112",
        ),
        ("cards", r#"{"card":4111111111111111}"#, r#"{"card":4000000000001111}"#),
        (
            "cards",
            r#"{"card":"4111111111111111"}"#,
            r#"{"card":"************1111"}"#,
        ),
        (
            "cards",
            "id=a4111111111111111 1795711675966351073",
            "id=a4111111111111111 1795711675966351073",
        ),
        ("cards", "10:00:00 4111111111111111", "10:00:00 ************1111"),
        ("cards", "n 123 4111-1111-1111-1111 5", "n 123 ****-****-****-1111 5"),
        ("cards", "3782 822463 10005", "**** ****** *0005"),
        (
            r"/password=(\S+)/",
            "password=geheim, user=ann",
            "password=******* user=ann",
        ),
        ("/é+/", "caféé!", "caf****!"),
        ("/x*/", "abc", "abc"),
    ];

    #[test]
    fn what_is_secret_is_masked_and_nothing_else() {
        for (redact, text, expected) in CASES {
            assert_eq!(masked(redact, text), *expected);
        }
        for bad in ["", "card", "/(/"] {
            assert!(Redact::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let mut text = b"\xff secret \xfe secret".to_vec();
        assert!(Redact::parse("/secret/").unwrap().mask(&mut text));
        assert_eq!(text, b"\xff ****** \xfe ******");
        let mut text = b"password=gehe\xe4im x".to_vec();
        assert!(Redact::parse(r"/password=(\S+)/").unwrap().mask(&mut text));
        assert_eq!(text, b"password=******* x");
    }
}
