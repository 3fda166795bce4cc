//! What a record says, however it is encoded, with the attributes of <https://opentelemetry.io/docs/specs/semconv/general/logs/>.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::batch::Record;
use crate::parse::{Level, Shape, Value};

/// `AnyValue`, as far as it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Any<'v> {
    Text(&'v [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
}

impl<'v> Any<'v> {
    /// What was read of a line: numbers and truth values as such, nothing for `null`, and JSON with parts as a `text`.
    fn of(value: &Value<'_>, text: &'v str) -> Option<Self> {
        Some(match value {
            Value::Json("null") => return None,
            Value::Json(json @ ("true" | "false")) => Self::Bool(*json == "true"),
            Value::Json(json) => match (json.parse::<i64>(), json.parse::<f64>()) {
                (Ok(number), _) => Self::Int(number),
                (_, Ok(number)) if number.is_finite() => Self::Double(number),
                _ => Self::Text(text.as_bytes()),
            },
            Value::Text(_) => Self::Text(text.as_bytes()),
        })
    }
}

/// What is said beside times and attributes.
pub(super) struct Said {
    /// If that is not the line.
    pub(super) text: Option<String>,
    pub(super) level: Option<Level>,
}

/// Hands the attributes of a record over to `add`; `id` is for whatever.
pub(super) fn say(record: &Record<'_>, shape: &Shape, id: &mut Vec<u8>, mut add: impl FnMut(&str, Any<'_>)) -> Said {
    add("log.file.path", Any::Text(record.source.path.as_bytes()));
    id.clear();
    record.write_id(id);
    add("log.record.uid", Any::Text(id));
    if let Some(flag) = record.mark.flag() {
        add("log.flags", Any::Text(flag.as_bytes()));
    }
    let line = String::from_utf8_lossy(record.text);
    let (mut level, mut text) = (None, None);
    if let Some(parsed) = shape.of(&line, record.time.is_some()) {
        for (name, value) in &parsed.fields {
            if let Some(any) = Any::of(value, &value.text()) {
                add(&shape.flat(name), any);
            }
        }
        // Of a record of fields alone, the whole line is what people read.
        (level, text) = (parsed.level, parsed.message.map(|message| message.text().into_owned()));
    }
    let text = text.or_else(|| matches!(line, Cow::Owned(_)).then(|| line.into_owned()));
    Said { text, level }
}

/// Nanoseconds since 1970.
pub(super) fn observed(read_at: SystemTime) -> u64 {
    let since = read_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}
