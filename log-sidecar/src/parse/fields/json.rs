//! Objects of JSON: the members as they stand, without looking into them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Field, Value};

/// The members of an object, if that is all that the line is.
pub(super) fn read(text: &str) -> Option<Vec<Field<'_>>> {
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok()?;
    Some(fields)
}

/// What a text of JSON says; None for anything else.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    let Text(text) = serde_json::from_str(json).ok()?;
    Some(text)
}

/// RFC 8259, section 6.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get() == text)
}

/// As deep as Elasticsearch takes fields, by default: `index.mapping.depth.limit`.
const DEEPEST: usize = 20;

/// How many brackets are open at most.
fn depth(json: &str) -> usize {
    if !json.starts_with(['{', '[']) {
        return 0;
    }
    let (mut depth, mut deepest, mut is_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Field<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(Text(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            let value = value.get();
            // Deeper ones are refused as a whole, and may be worse than that for whoever reads them.
            let value = if depth(value) > DEEPEST {
                Value::Text(value.into())
            } else {
                Value::Json(value)
            };
            fields.push((name, value));
        }
        Ok(fields)
    }
}

/// Borrowed, unless it has escapes.
#[derive(Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
