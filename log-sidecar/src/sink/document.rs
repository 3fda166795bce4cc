//! A record as JSON, in the field names of the Elastic Common Schema.
//!
//! <https://www.elastic.co/docs/reference/ecs/ecs-log>

use std::borrow::Cow;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;
use memchr::memchr2;

use super::json::{escape, string};
use crate::batch::{Record, Source};
use crate::parse::{Millis, Parsed, Shape, Value, system_time};

/// Writes documents; knows what all of them have in common.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// `,"kubernetes.pod.name":"…"` and so on, encoded once.
    pod: Vec<u8>,
    shape: Shape,
    has_ids: bool,
}

impl Encoder {
    pub(crate) fn new(shape: &Shape) -> Self {
        let mut encoded = Vec::new();
        for (field, value) in shape.common() {
            encoded.push(b',');
            string(&mut encoded, field);
            encoded.push(b':');
            string(&mut encoded, &value);
        }
        Self {
            pod: encoded,
            shape: shape.clone(),
            has_ids: false,
        }
    }

    /// Each document says its id, for whoever keeps it and has no other place for that:
    /// <https://www.elastic.co/docs/reference/ecs/ecs-event#field-event-id>.
    pub(crate) fn with_ids(self) -> Self {
        Self { has_ids: true, ..self }
    }

    /// For records that were read at `read_at`.
    pub(crate) fn documents(&self, read_at: SystemTime) -> Documents<'_> {
        Documents {
            start: start(read_at),
            dated: None,
            source: None,
            middle: Vec::new(),
            encoder: self,
        }
    }
}

/// Documents of one batch: what they share is encoded once.
#[derive(Debug)]
pub(crate) struct Documents<'r> {
    encoder: &'r Encoder,
    /// The time, for records that do not say their time.
    start: Vec<u8>,
    /// The same, for those of one time.
    dated: Option<(Millis, Vec<u8>)>,
    /// From the path to the offset, for records of this source.
    middle: Vec<u8>,
    source: Option<&'r Source>,
}

impl<'r> Documents<'r> {
    /// Appends one document and a newline. Bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn add(&mut self, out: &mut Vec<u8>, record: &Record<'r>) {
        if !self.source.is_some_and(|source| std::ptr::eq(source, record.source)) {
            self.source = Some(record.source);
            self.middle.clear();
            self.middle.extend_from_slice(b"\"file\":{\"path\":");
            string(&mut self.middle, &record.source.path);
            self.middle.extend_from_slice(b"},\"offset\":");
        }
        match (record.time, &mut self.dated) {
            (None, _) => out.extend_from_slice(&self.start),
            (Some(time), Some((known, start))) if *known == time => out.extend_from_slice(start),
            (Some(time), dated) => {
                let (_, start) = dated.insert((time, start(system_time(time))));
                out.extend_from_slice(start);
            }
        }
        let text = String::from_utf8_lossy(record.text);
        match self.encoder.shape.of(&text, record.time.is_some()) {
            Some(parsed) => self.encoder.add_parsed(out, &parsed),
            None => {
                out.extend_from_slice(b",\"message\":\"");
                escape(out, &text);
                out.extend_from_slice(b"\",\"log\":{");
            }
        }
        out.extend_from_slice(&self.middle);
        out.extend_from_slice(itoa::Buffer::new().format(record.offset).as_bytes());
        if let Some(flag) = record.mark.flag() {
            out.extend_from_slice(b",\"flags\":[\"");
            out.extend_from_slice(flag.as_bytes());
            out.extend_from_slice(b"\"]");
        }
        out.push(b'}');
        if self.encoder.has_ids {
            out.extend_from_slice(b",\"event\":{\"id\":\"");
            record.write_id(out);
            out.extend_from_slice(b"\"}");
        }
        out.extend_from_slice(&self.encoder.pod);
        out.extend_from_slice(b"}\n");
    }
}

impl Encoder {
    /// Up to where `log` begins.
    fn add_parsed(&self, out: &mut Vec<u8>, parsed: &Parsed<'_>) {
        match &parsed.message {
            Some(Value::Json(json)) if json.starts_with('"') => {
                out.extend_from_slice(b",\"message\":");
                out.extend_from_slice(json.as_bytes());
            }
            // Where it is a text in one record, it has to be one in all.
            Some(Value::Json(text)) => add(out, ",", "message", &Value::Text(Cow::Borrowed(text))),
            Some(text @ Value::Text(_)) => add(out, ",", "message", text),
            None => {}
        }
        let mut separator = ",";
        if let Some(nest) = &self.shape.nest {
            out.push(b',');
            string(out, nest);
            out.extend_from_slice(b":{");
            separator = "";
        }
        for (name, value) in &parsed.fields {
            add(out, separator, name, value);
            separator = ",";
        }
        if self.shape.nest.is_some() {
            out.push(b'}');
        }
        out.extend_from_slice(b",\"log\":{");
        if let Some(level) = parsed.level {
            out.extend_from_slice(b"\"level\":\"");
            out.extend_from_slice(level.name().as_bytes());
            out.extend_from_slice(b"\",");
        }
    }
}

fn add(out: &mut Vec<u8>, separator: &str, name: &str, value: &Value<'_>) {
    out.extend_from_slice(separator.as_bytes());
    string(out, name);
    out.push(b':');
    match value {
        Value::Json(json) => {
            let start = out.len();
            out.extend_from_slice(json.as_bytes());
            // Between the parts of JSON, a line break says nothing; in a document, it would end that.
            while let Some(at) = memchr2(b'\n', b'\r', &out[start..]) {
                out[start + at] = b' ';
            }
        }
        Value::Text(text) => string(out, text),
    }
}

fn start(time: SystemTime) -> Vec<u8> {
    format!("{{\"@timestamp\":\"{}\"", format_rfc3339_millis(time)).into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::batch::Mark;
    use crate::identity::Inode;

    #[test]
    fn a_document_is_one_line_of_json_whatever_the_bytes() {
        let source = Source {
            id: "f".into(),
            path: "/logs/\"a\".log".into(),
            inode: Inode::default(),
        };
        let mut out = Vec::new();
        let record = Record {
            source: &source,
            offset: 42,
            text: b"tab\t quote\" \xff bell\x07 \xc3\xa9",
            mark: Mark::Truncated,
            tick: None,
            may_be_known: false,
            time: None,
        };
        let encoder = Encoder {
            pod: b",\"kubernetes.pod.name\":\"p\"".to_vec(),
            shape: Shape::default(),
            has_ids: false,
        };
        let other = Source {
            id: "g".into(),
            path: "/logs/b.log".into(),
            inode: Inode::default(),
        };
        let mut documents = encoder.documents(SystemTime::UNIX_EPOCH);
        documents.add(&mut out, &record);
        let (source, mark) = (&other, Mark::Whole);
        let time = Some(1_795_687_200_123);
        documents.add(
            &mut out,
            &Record {
                source,
                mark,
                time,
                ..record
            },
        );
        let lines: Vec<Value> = out
            .strip_suffix(b"\n")
            .unwrap()
            .split(|&byte| byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let [value, second] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(value["message"], "tab\t quote\" \u{fffd} bell\u{7} é");
        assert_eq!(value["log"]["file"]["path"], "/logs/\"a\".log");
        assert_eq!(
            (&value["log"]["offset"], &value["log"]["flags"][0]),
            (&Value::from(42), &Value::from("truncated"))
        );
        assert_eq!(value["@timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["kubernetes.pod.name"], "p");
        assert_eq!(second["@timestamp"], "2026-11-26T10:00:00.123Z");
        assert_eq!(second["log"]["file"]["path"], "/logs/b.log");
        assert!(second["log"]["flags"].is_null());
    }
}
