//! Records as `ExportLogsServiceRequest` in JSON: numbers of 64 bits are texts, names in camel case.
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use std::time::SystemTime;

use super::record::{Any, Said, observed, say};
use crate::batch::{Record, text_bytes};
use crate::parse::{NANOS_OF_MILLI, Shape};
use crate::sink::json::string;

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 384;

/// Writes requests; knows what all records have in common.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Up to where the records begin.
    start: Vec<u8>,
    shape: Shape,
}

impl Encoder {
    /// `attributes` are of the resource.
    pub(super) fn new(attributes: &[(String, String)], shape: &Shape) -> Self {
        let mut start = br#"{"resourceLogs":[{"resource":{"attributes":["#.to_vec();
        for (index, (key, value)) in attributes.iter().enumerate() {
            attribute(&mut start, index == 0, key, Any::Text(value.as_bytes()));
        }
        start.extend_from_slice(br#"]},"scopeLogs":[{"scope":{"name":"#);
        string(&mut start, env!("CARGO_PKG_NAME"));
        start.extend_from_slice(br#","version":"#);
        string(&mut start, env!("CARGO_PKG_VERSION"));
        start.extend_from_slice(br#"},"logRecords":["#);
        Self {
            start,
            shape: shape.clone(),
        }
    }

    /// Of a request, bytes, about.
    pub(super) fn size(&self, records: &[Record<'_>]) -> usize {
        let text = text_bytes(records);
        text + records.len() * AROUND + self.start.len()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, records: &[Record<'_>], read_at: SystemTime) {
        let (observed, mut id) = (observed(read_at), Vec::new());
        out.extend_from_slice(&self.start);
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.add(out, record, observed, &mut id);
        }
        out.extend_from_slice(b"]}]}]}");
    }

    fn add(&self, out: &mut Vec<u8>, record: &Record<'_>, observed: u64, id: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"observedTimeUnixNano":""#);
        out.extend_from_slice(itoa::Buffer::new().format(observed).as_bytes());
        if let Some(time) = record.time {
            let time = time.max(0).cast_unsigned() * NANOS_OF_MILLI;
            out.extend_from_slice(br#"","timeUnixNano":""#);
            out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        }
        out.extend_from_slice(br#"","attributes":["#);
        let mut is_first = true;
        let Said { text, level } = say(record, &self.shape, id, |key, value| {
            attribute(out, std::mem::take(&mut is_first), key, value);
        });
        out.push(b']');
        if let Some(level) = level {
            out.extend_from_slice(br#","severityNumber":"#);
            out.extend_from_slice(itoa::Buffer::new().format(level.severity_number()).as_bytes());
            out.extend_from_slice(br#","severityText":"#);
            string(out, level.name());
        }
        out.extend_from_slice(br#","body":{"stringValue":"#);
        match &text {
            Some(text) => string(out, text),
            None => string(out, &String::from_utf8_lossy(record.text)),
        }
        out.extend_from_slice(b"}}");
    }
}

/// A `KeyValue`.
fn attribute(out: &mut Vec<u8>, is_first: bool, key: &str, value: Any<'_>) {
    if !is_first {
        out.push(b',');
    }
    out.extend_from_slice(br#"{"key":"#);
    string(out, key);
    out.extend_from_slice(br#","value":{"#);
    match value {
        Any::Text(bytes) => {
            out.extend_from_slice(br#""stringValue":"#);
            string(out, &String::from_utf8_lossy(bytes));
        }
        Any::Bool(is_so) => out.extend_from_slice(format!(r#""boolValue":{is_so}"#).as_bytes()),
        Any::Int(number) => out.extend_from_slice(format!(r#""intValue":"{number}""#).as_bytes()),
        Any::Double(number) => out.extend_from_slice(format!(r#""doubleValue":{number}"#).as_bytes()),
    }
    out.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::batch::{Mark, Source};
    use crate::identity::Inode;
    use crate::parse::Parser;
    use crate::sink::otlp::binary;

    const FIELDS: &str =
        r#"{"level":"warn","msg":"it is","n":-3,"f":1.5,"g":1e300,"b":true,"o":{"p":1},"s":"t\"","z":null}"#;

    proptest! {
        /// Decoders that others have made of the definitions of the protocol find the same in both.
        #[test]
        fn it_says_what_protobuf_says(
            lines in prop::collection::vec((prop_oneof![any::<Vec<u8>>(), Just(FIELDS.into())], prop::option::of(0i64..4_000_000_000_000), any::<bool>()), 0..20),
            name in any::<String>(),
        ) {
            let source = Source { id: "abc".into(), path: format!("/logs/{name}"), inode: Inode::default() };
            let records: Vec<_> = lines.iter().map(|(text, time, is_cut)| Record {
                source: &source,
                offset: 7,
                text,
                mark: if *is_cut { Mark::Truncated } else { Mark::Whole },
                time: *time,
                tick: None,
                may_be_known: false,
            }).collect();
            let shape = Shape { parsers: vec![Parser::Json], ..Shape::default() };
            let attributes = [("k8s.pod.name".to_owned(), name), ("env".to_owned(), "prod".to_owned())];
            let (mut json, mut protobuf) = (Vec::new(), Vec::new());
            Encoder::new(&attributes, &shape).write(&mut json, &records, UNIX_EPOCH);
            binary::Encoder::new(&attributes, &shape).write(&mut protobuf, &records, UNIX_EPOCH);
            let json: ExportLogsServiceRequest = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(json, ExportLogsServiceRequest::decode(protobuf.as_slice()).unwrap());
        }
    }
}
