//! logfmt: `key=value`, `key="quoted \"value\""`, and `key` alone for what is so. Source: <https://brandur.org/logfmt>.

use std::borrow::Cow;

use super::{Field, Value};

/// The pairs of a line that begins with one. Where many words stand alone, it is text that people read.
pub(super) fn read(text: &str) -> Option<Vec<Field<'_>>> {
    let mut rest = text.trim_ascii();
    let (mut fields, mut flags) = (Vec::new(), 0);
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_ascii_whitespace())
            .unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if key.is_empty() || key.contains('"') {
            return None;
        }
        let (value, after) = match after.strip_prefix('=') {
            Some(value) => value_of(value)?,
            None if fields.is_empty() => return None,
            None if is_name(key) => {
                flags += 1;
                (Value::Json("true"), after)
            }
            None => return None,
        };
        fields.push((Cow::Borrowed(key), value));
        if !after.is_empty() && !after.starts_with(|c: char| c.is_ascii_whitespace()) {
            return None;
        }
        rest = after.trim_ascii_start();
    }
    (!fields.is_empty() && flags * 3 <= fields.len()).then_some(fields)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn value_of(text: &str) -> Option<(Value<'_>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len()));
        return Some((Value::Text(Cow::Borrowed(value)), after));
    };
    let end = end_of_quoted(quoted)?;
    Some((Value::Text(unescaped(&quoted[..end])), &quoted[end + 1..]))
}

/// Where the quote that ends it stands.
pub(super) fn end_of_quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some('t')) => out.push('\t'),
            (_, Some('r')) => out.push('\r'),
            (_, Some(other @ ('"' | '\\'))) => out.push(other),
            (_, Some(other)) => out.extend(['\\', other]),
            (c, None) => out.push(c),
        }
    }
    Cow::Owned(out)
}
