//! Records as `ExportLogsServiceRequest` in protobuf:
//! <https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/opentelemetry/proto/logs/v1/logs.proto>.

use std::ops::Range;
use std::time::SystemTime;

use super::record::{Any, Said, observed, say};
use crate::batch::{Record, text_bytes};
use crate::parse::{Level, NANOS_OF_MILLI, Shape};
use crate::sink::protobuf::{Fields as _, SIZE_OF_FIXED64, SIZE_OF_SMALL, size_of_bytes};

/// Fields, by message.
mod field {
    pub(super) const RESOURCE_LOGS: u32 = 1;
    pub(super) mod resource_logs {
        pub(in super::super) const RESOURCE: u32 = 1;
        pub(in super::super) const SCOPE_LOGS: u32 = 2;
    }
    pub(super) mod resource {
        pub(in super::super) const ATTRIBUTES: u32 = 1;
    }
    pub(super) mod scope_logs {
        pub(in super::super) const SCOPE: u32 = 1;
        pub(in super::super) const LOG_RECORDS: u32 = 2;
    }
    pub(super) mod scope {
        pub(in super::super) const NAME: u32 = 1;
        pub(in super::super) const VERSION: u32 = 2;
    }
    pub(super) mod record {
        pub(in super::super) const TIME: u32 = 1;
        pub(in super::super) const SEVERITY_NUMBER: u32 = 2;
        pub(in super::super) const SEVERITY_TEXT: u32 = 3;
        pub(in super::super) const BODY: u32 = 5;
        pub(in super::super) const ATTRIBUTES: u32 = 6;
        pub(in super::super) const OBSERVED_TIME: u32 = 11;
    }
    pub(super) mod key_value {
        pub(in super::super) const KEY: u32 = 1;
        pub(in super::super) const VALUE: u32 = 2;
    }
    pub(super) mod any_value {
        pub(in super::super) const STRING: u32 = 1;
        pub(in super::super) const BOOL: u32 = 2;
        pub(in super::super) const INT: u32 = 3;
        pub(in super::super) const DOUBLE: u32 = 4;
    }
}

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 192;

/// Writes requests; knows what all records have in common.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The fields `resource` of `ResourceLogs`, and `scope` of `ScopeLogs`.
    resource: Vec<u8>,
    scope: Vec<u8>,
    shape: Shape,
}

impl Encoder {
    /// `attributes` are of the resource.
    pub(super) fn new(attributes: &[(String, String)], shape: &Shape) -> Self {
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        for (key, value) in attributes {
            attribute(
                &mut resource,
                field::resource::ATTRIBUTES,
                key,
                &Any::Text(value.as_bytes()),
            );
        }
        scope.bytes(field::scope::NAME, env!("CARGO_PKG_NAME").as_bytes());
        scope.bytes(field::scope::VERSION, env!("CARGO_PKG_VERSION").as_bytes());
        Self {
            resource: field_of(field::resource_logs::RESOURCE, &resource),
            scope: field_of(field::scope_logs::SCOPE, &scope),
            shape: shape.clone(),
        }
    }

    /// Of a request, bytes, about.
    pub(super) fn size(&self, records: &[Record<'_>]) -> usize {
        let text = text_bytes(records);
        text + records.len() * AROUND + self.resource.len() + self.scope.len()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, records: &[Record<'_>], read_at: SystemTime) {
        let observed = observed(read_at);
        // The lengths of all messages come before what is in them.
        let mut attributes = Vec::with_capacity(records.len() * AROUND);
        let mut id = Vec::new();
        let parts: Vec<Parts> = records
            .iter()
            .map(|record| Parts::of(record, &self.shape, &mut attributes, &mut id))
            .collect();
        let all: usize = parts.iter().map(|parts| size_of_bytes(parts.record)).sum();
        let scope_logs = self.scope.len() + all;
        let resource_logs = self.resource.len() + size_of_bytes(scope_logs);
        out.message(field::RESOURCE_LOGS, resource_logs);
        out.extend_from_slice(&self.resource);
        out.message(field::resource_logs::SCOPE_LOGS, scope_logs);
        out.extend_from_slice(&self.scope);
        for (record, parts) in records.iter().zip(parts) {
            parts.write(out, record, &attributes, observed);
        }
    }
}

/// What a record is made of.
struct Parts {
    /// Its length.
    record: usize,
    /// The text as it is sent, if that is not the line.
    text: Option<String>,
    level: Option<Level>,
    /// Where its attributes are among those of all records.
    attributes: Range<usize>,
}

impl Parts {
    /// Appends its attributes; `id` is for whatever.
    fn of(record: &Record<'_>, shape: &Shape, attributes: &mut Vec<u8>, id: &mut Vec<u8>) -> Self {
        let start = attributes.len();
        let Said { text, level } = say(record, shape, id, |key, value| {
            attribute(attributes, field::record::ATTRIBUTES, key, &value);
        });
        let length = text.as_ref().map_or(record.text.len(), String::len);
        let times = SIZE_OF_FIXED64 * (1 + usize::from(record.time.is_some()));
        let severity = level.map_or(0, |level| SIZE_OF_SMALL + size_of_bytes(level.name().len()));
        Self {
            record: times + severity + size_of_bytes(size_of_bytes(length)) + attributes.len() - start,
            text,
            level,
            attributes: start..attributes.len(),
        }
    }

    fn write(&self, out: &mut Vec<u8>, record: &Record<'_>, attributes: &[u8], observed: u64) {
        out.message(field::scope_logs::LOG_RECORDS, self.record);
        if let Some(time) = record.time {
            out.fixed64(field::record::TIME, time.max(0).cast_unsigned() * NANOS_OF_MILLI);
        }
        if let Some(level) = self.level {
            out.number(field::record::SEVERITY_NUMBER, level.severity_number());
            out.bytes(field::record::SEVERITY_TEXT, level.name().as_bytes());
        }
        let text = self.text.as_ref().map_or(record.text, |text| text.as_bytes());
        out.message(field::record::BODY, size_of_bytes(text.len()));
        out.bytes(field::any_value::STRING, text);
        out.extend_from_slice(&attributes[self.attributes.clone()]);
        out.fixed64(field::record::OBSERVED_TIME, observed);
    }
}

/// A `KeyValue`.
fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &Any<'_>) {
    let mut any = Vec::new();
    match value {
        Any::Text(text) => {
            any.reserve_exact(text.len() + 4);
            any.bytes(field::any_value::STRING, text);
        }
        Any::Bool(is_so) => any.number(field::any_value::BOOL, u64::from(*is_so)),
        Any::Int(number) => any.number(field::any_value::INT, number.cast_unsigned()),
        Any::Double(number) => any.fixed64(field::any_value::DOUBLE, number.to_bits()),
    }
    out.message(field, size_of_bytes(key.len()) + size_of_bytes(any.len()));
    out.bytes(field::key_value::KEY, key.as_bytes());
    out.bytes(field::key_value::VALUE, &any);
}

fn field_of(field: u32, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.bytes(field, message);
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::batch::{Mark, Source};
    use crate::identity::Inode;
    use crate::parse::Parser;

    fn texts(attributes: &[KeyValue]) -> Vec<(&str, &str)> {
        attributes
            .iter()
            .map(
                |pair| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                    Some(any_value::Value::StringValue(text)) => (pair.key.as_str(), text.as_str()),
                    other => panic!("{other:?}"),
                },
            )
            .collect()
    }

    proptest! {
        /// The decoder is made by others of the definitions of the protocol.
        #[test]
        fn others_read_what_is_written(
            lines in prop::collection::vec((any::<Vec<u8>>(), prop::option::of(0i64..4_000_000_000_000), 0usize..4), 0..20),
            name in "[a-z]{0,200}",
        ) {
            let source = Source { id: "abc".into(), path: format!("/logs/{name}"), inode: Inode::default() };
            let marks = [Mark::Whole, Mark::Truncated, Mark::Split, Mark::Partial];
            let record = |(text, time, mark): &(Vec<u8>, Option<i64>, usize)| (text.clone(), *time, marks[*mark]);
            let owned: Vec<_> = lines.iter().map(record).collect();
            let records: Vec<_> = owned.iter().map(|(text, time, mark)| Record {
                source: &source,
                offset: 7,
                text,
                mark: *mark,
                time: *time,
                tick: None,
                may_be_known: false,
            }).collect();
            let encoder = Encoder::new(&[("k8s.pod.name".into(), name.clone())], &Shape::default());
            let mut out = Vec::new();
            encoder.write(&mut out, &records, UNIX_EPOCH + Duration::from_nanos(123));
            let request = ExportLogsServiceRequest::decode(out.as_slice()).unwrap();
            prop_assert_eq!(request.resource_logs.len(), 1);
            let logs = &request.resource_logs[0];
            prop_assert_eq!(texts(&logs.resource.as_ref().unwrap().attributes), [("k8s.pod.name", name.as_str())]);
            let scope = logs.scope_logs[0].scope.as_ref().unwrap();
            prop_assert_eq!((scope.name.as_str(), scope.version.as_str()), ("log-sidecar", env!("CARGO_PKG_VERSION")));
            let found = &logs.scope_logs[0].log_records;
            prop_assert_eq!(found.len(), records.len());
            for (found, record) in found.iter().zip(&records) {
                let time = record.time.unwrap_or_default().cast_unsigned() * NANOS_OF_MILLI;
                prop_assert_eq!((found.time_unix_nano, found.observed_time_unix_nano), (time, 123));
                let body = found.body.as_ref().and_then(|body| body.value.clone());
                let text = String::from_utf8_lossy(record.text).into_owned();
                prop_assert_eq!(body, Some(any_value::Value::StringValue(text)));
                let id = record.id();
                let mut expected = vec![("log.file.path", source.path.as_str()), ("log.record.uid", id.as_str())];
                expected.extend(record.mark.flag().map(|flag| ("log.flags", flag)));
                prop_assert_eq!(texts(&found.attributes), expected);
            }
        }
    }

    #[test]
    fn fields_are_attributes_of_their_type() {
        let source = Source {
            id: "abc".into(),
            path: "/logs/a".into(),
            inode: Inode::default(),
        };
        let line = r#"{"level":"warn","msg":"it is","n":-3,"f":1.5,"b":true,"o":{"p":1},"s":"t\"","z":null}"#;
        let record = Record {
            source: &source,
            offset: 7,
            text: line.as_bytes(),
            mark: Mark::Whole,
            time: None,
            tick: None,
            may_be_known: false,
        };
        let shape = Shape {
            parsers: vec![Parser::Json],
            nest: Some("app".into()),
            ..Shape::default()
        };
        let mut out = Vec::new();
        Encoder::new(&[], &shape).write(&mut out, &[record, record], UNIX_EPOCH);
        let request = ExportLogsServiceRequest::decode(out.as_slice()).unwrap();
        let found = &request.resource_logs[0].scope_logs[0].log_records[1];
        assert_eq!((found.severity_number, found.severity_text.as_str()), (13, "warn"));
        let body = found.body.as_ref().and_then(|body| body.value.clone());
        assert_eq!(body, Some(any_value::Value::StringValue("it is".into())));
        let attributes = found.attributes[2..].iter();
        let attributes: Vec<_> = attributes
            .map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value.unwrap()))
            .collect();
        let text = |text: &str| any_value::Value::StringValue(text.into());
        let expected = [
            ("app.level", text("warn")),
            ("app.n", any_value::Value::IntValue(-3)),
            ("app.f", any_value::Value::DoubleValue(1.5)),
            ("app.b", any_value::Value::BoolValue(true)),
            ("app.o", text(r#"{"p":1}"#)),
            ("app.s", text("t\"")),
        ];
        assert_eq!(attributes, expected);
    }
}
