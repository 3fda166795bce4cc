//! A record as JSON, in the field names of the Elastic Common Schema.
//!
//! <https://www.elastic.co/docs/reference/ecs/ecs-log>

use std::io::Write as _;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;

use crate::batch::{Mark, Record};
use crate::pod;

/// Writes documents; knows what all of them have in common.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// `,"kubernetes.pod.name":"…"` and so on, encoded once.
    pod: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        let mut encoded = Vec::new();
        for (field, value) in pod::fields() {
            encoded.push(b',');
            string(&mut encoded, field);
            encoded.push(b':');
            string(&mut encoded, &value);
        }
        Self { pod: encoded }
    }

    /// Appends one document and a newline. Bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn document(&self, out: &mut Vec<u8>, record: &Record<'_>, read_at: SystemTime) {
        let flags = match record.mark {
            Mark::Whole => "",
            Mark::Truncated => ",\"flags\":[\"truncated\"]",
            Mark::Partial => ",\"flags\":[\"partial\"]",
        };
        write(
            out,
            format_args!("{{\"@timestamp\":\"{}\",\"message\":", format_rfc3339_millis(read_at)),
        );
        string(out, &String::from_utf8_lossy(record.text));
        out.extend_from_slice(b",\"log\":{\"file\":{\"path\":");
        string(out, &record.source.path);
        write(out, format_args!("}},\"offset\":{}{flags}}}", record.offset));
        out.extend_from_slice(&self.pod);
        out.extend_from_slice(b"}\n");
    }
}

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always valid JSON");
}

pub(crate) fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec cannot fail");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::batch::Source;

    #[test]
    fn a_document_is_one_line_of_json_whatever_the_bytes() {
        let source = Source {
            id: "f".into(),
            path: "/logs/\"a\".log".into(),
        };
        let mut out = Vec::new();
        let record = Record {
            source: &source,
            offset: 42,
            text: b"tab\t quote\" \xff bell\x07 \xc3\xa9",
            mark: Mark::Truncated,
        };
        let encoder = Encoder {
            pod: b",\"kubernetes.pod.name\":\"p\"".to_vec(),
        };
        encoder.document(&mut out, &record, SystemTime::UNIX_EPOCH);
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["message"], "tab\t quote\" \u{fffd} bell\u{7} é");
        assert_eq!(value["log"]["file"]["path"], "/logs/\"a\".log");
        assert_eq!(
            (&value["log"]["offset"], &value["log"]["flags"][0]),
            (&Value::from(42), &Value::from("truncated"))
        );
        assert_eq!(value["@timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["kubernetes.pod.name"], "p");
    }
}
