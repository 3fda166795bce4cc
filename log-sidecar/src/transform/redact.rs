//! What nobody is to see, masked in its place: length and structure of a line stay, so that JSON is still JSON.

use memchr::memmem;
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
/// identifiers of IAM), Google (API keys), GitHub, GitLab and Slack (token formats), and of Azure (connection strings).
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
    key(b"aws_secret_access_key=", is_base64, 40),
    key(b"AWS_SECRET_ACCESS_KEY=", is_base64, 40),
    key(b"AIza", is_word, 35),
    key(b"ya29.", is_word, 20),
    key(b"ghp_", is_word, 36),
    key(b"gho_", is_word, 36),
    key(b"ghs_", is_word, 36),
    key(b"github_pat_", is_word, 36),
    key(b"glpat-", is_word, 20),
    key(b"xoxb-", is_word, 20),
    key(b"xoxp-", is_word, 20),
    key(b"AccountKey=", is_base64, 40),
];

fn is_capital_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

/// RFC 6750, section 2.1, and RFC 7617.
fn is_token(byte: u8) -> bool {
    is_base64(byte) || b"-._~".contains(&byte)
}

const LEAST_TOKEN: usize = 8;

impl Redact {
    /// True if something was masked.
    pub(super) fn mask(&self, text: &mut [u8]) -> bool {
        match self {
            Self::Bearer => [b"earer ".as_slice(), b"EARER ", b"asic ", b"ASIC "]
                .into_iter()
                .fold(false, |is_masked, word| mask_after(text, word, is_token, LEAST_TOKEN) | is_masked),
            // What says which kind of key it is may stay.
            Self::CloudKeys => KEYS
                .iter()
                .fold(false, |is_masked, key| mask_after(text, key.prefix, key.rest, key.least) | is_masked),
            Self::Cards => mask_cards(text),
            Self::Pattern(expression) => mask_matches(text, expression),
        }
    }
}

/// Masks runs of at least so many bytes that follow `prefix`.
fn mask_after(text: &mut [u8], prefix: &[u8], is_part: fn(u8) -> bool, least: usize) -> bool {
    let starts: Vec<usize> = memmem::find_iter(text, prefix).map(|at| at + prefix.len()).collect();
    let mut is_masked = false;
    for start in starts {
        let length = text[start..].iter().take_while(|&&byte| is_part(byte)).count();
        if length >= least {
            text[start..start + length].fill(MASK);
            is_masked = true;
        }
    }
    is_masked
}

fn mask_matches(text: &mut [u8], Expression(regex): &Expression) -> bool {
    let mut found = Vec::new();
    let mut offset = 0;
    for chunk in text.utf8_chunks() {
        for captures in regex.captures_iter(chunk.valid()) {
            let span = captures.get(1).or_else(|| captures.get(0));
            found.extend(span.map(|span| offset + span.start()..offset + span.end()));
        }
        offset += chunk.valid().len() + chunk.invalid().len();
    }
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
        let begins_word = start > 0 && (text[start - 1].is_ascii_alphanumeric() || b"._-".contains(&text[start - 1]));
        let Some(digits) = card_at(text, start).filter(|_| !begins_word) else {
            continue;
        };
        at = digits[digits.len() - 1] + 1;
        // A number that stands in JSON without quotes has to stay one.
        let is_number = text.starts_with(b"{") && text[..start].trim_ascii_end().ends_with(b":");
        let (shown, mask) = if is_number { (1, b'0') } else { (0, MASK) };
        digits[shown..digits.len() - 4].iter().for_each(|&index| text[index] = mask);
        is_masked = true;
    }
    is_masked
}

fn end_of_digits(text: &[u8], start: usize) -> usize {
    text[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(text.len(), |length| start + length)
}

/// Where the digits of a card stand, if its number begins at `start`.
fn card_at(text: &[u8], start: usize) -> Option<Vec<usize>> {
    /// Digits of a group.
    const GROUP: std::ops::RangeInclusive<usize> = 3..=6;
    let (mut digits, mut from) = (Vec::new(), start);
    loop {
        let end = end_of_digits(text, from);
        digits.extend(from..end);
        let ends_word = !text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
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
    let leading = |count: usize| digits.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
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

    #[test]
    fn what_is_secret_is_masked_and_nothing_else() {
        for (redact, text, expected) in [
            ("bearer", "Authorization: Bearer abc.def-123 ok", "Authorization: Bearer *********** ok"),
            ("bearer", r#"{"authorization":"bearer abcdefgh"}"#, r#"{"authorization":"bearer ********"}"#),
            ("bearer", "Basic dXNlcjpwYXNz", "Basic ************"),
            ("bearer", "the bearer of news", "the bearer of news"),
            ("cloud-keys", "id AKIAABCDEFGHIJKLMNOP.", "id AKIA****************."),
            ("cloud-keys", "AKIAshort and AKIA", "AKIAshort and AKIA"),
            ("cards", "pay 4111 1111 1111 1111 now", "pay **** **** **** 1111 now"),
            ("cards", "4111-1111-1111-1111", "****-****-****-1111"),
            ("cards", "378282246310005,4111111111111112", "***********0005,4111111111111112"),
            ("cards", r#"{"card":4111111111111111}"#, r#"{"card":4000000000001111}"#),
            ("cards", r#"{"card":"4111111111111111"}"#, r#"{"card":"************1111"}"#),
            ("cards", "id=a4111111111111111 1795711675966351073", "id=a4111111111111111 1795711675966351073"),
            ("cards", "10:00:00 4111111111111111", "10:00:00 ************1111"),
            ("cards", "n 123 4111-1111-1111-1111 5", "n 123 ****-****-****-1111 5"),
            ("cards", "3782 822463 10005", "**** ****** *0005"),
            (r"/password=(\S+)/", "password=geheim, user=ann", "password=******* user=ann"),
            ("/é+/", "caféé!", "caf****!"),
            ("/x*/", "abc", "abc"),
        ] {
            assert_eq!(masked(redact, text), expected);
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
    }
}
