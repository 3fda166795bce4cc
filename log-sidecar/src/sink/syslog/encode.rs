//! Records as messages: <https://www.rfc-editor.org/rfc/rfc5424#section-6>.

use std::env;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;

use crate::batch::{Record, Source, text_bytes};
use crate::parse::{Level, Shape, Value, system_time};

/// User-level messages.
const FACILITY: u8 = 1;
/// The names in structured data that are nobody's, RFC 5612.
const DATA: &str = "log@32473";
/// The longest names, bytes.
const MOST_OF_HOST: usize = 255;
const MOST_OF_APP: usize = 48;
const MOST_OF_PARAMETER: usize = 32;
/// What stands around a message, bytes, about.
const AROUND: usize = 256;

#[derive(Debug)]
pub(super) struct Encoder {
    host: String,
    /// The parameters that all have.
    pod: Vec<u8>,
    shape: Shape,
}

impl Encoder {
    pub(super) fn new(shape: &Shape) -> Self {
        let host = ["POD_NAME", "HOSTNAME"].iter().find_map(|name| env::var(name).ok());
        let mut pod = Vec::new();
        for (name, value) in shape.common() {
            parameter(&mut pod, name, &value);
        }
        Self {
            host: printable(host.as_deref().unwrap_or(""), MOST_OF_HOST),
            pod,
            shape: shape.clone(),
        }
    }

    /// Of messages, bytes, about.
    pub(super) fn size(&self, records: &[Record<'_>]) -> usize {
        let text = text_bytes(records);
        text + records.len() * (AROUND + self.pod.len())
    }

    /// Each behind its length, as streams have them.
    pub(super) fn write(&self, out: &mut Vec<u8>, records: &[Record<'_>], read_at: SystemTime) {
        self.each(records, read_at, |message| {
            out.extend_from_slice(itoa::Buffer::new().format(message.len()).as_bytes());
            out.push(b' ');
            out.extend_from_slice(message);
        });
    }

    /// Gives out the message of each.
    pub(super) fn each(&self, records: &[Record<'_>], read_at: SystemTime, mut give: impl FnMut(&[u8])) {
        let (mut message, mut app): (_, Option<(&Source, String)>) = (Vec::new(), None);
        for record in records {
            let name = match &app {
                Some((source, name)) if std::ptr::eq(*source, record.source) => name,
                _ => &app.insert((record.source, app_of(record.source))).1,
            };
            message.clear();
            self.write_message(&mut message, record, name, read_at);
            give(&message);
        }
    }

    fn write_message(&self, out: &mut Vec<u8>, record: &Record<'_>, app: &str, read_at: SystemTime) {
        let line = String::from_utf8_lossy(record.text);
        let parsed = self.shape.of(&line, record.time.is_some()).unwrap_or_default();
        let severity = parsed.level.map_or(6, severity);
        let time = format_rfc3339_millis(record.time.map_or(read_at, system_time));
        // Memory can be written to.
        drop(write!(
            out,
            "<{}>1 {time} {} {app} - - [{DATA}",
            FACILITY * 8 + severity,
            self.host
        ));
        parameter(out, "path", &record.source.path);
        out.extend_from_slice(b" id=\"");
        record.write_id(out);
        out.push(b'"');
        for (name, value) in &parsed.fields {
            parameter(out, &self.shape.flat(name), &value.text());
        }
        if let Some(flag) = record.mark.flag() {
            parameter(out, "flags", flag);
        }
        out.extend_from_slice(&self.pod);
        out.extend_from_slice(b"] ");
        let message = parsed.message.as_ref().map(Value::text);
        out.extend_from_slice(message.as_deref().unwrap_or(&line).as_bytes());
    }
}

/// Section 6.2.1, table 2.
fn severity(level: Level) -> u8 {
    match level {
        Level::Fatal => 1,
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warn => 4,
        Level::Notice => 5,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// The name of the file without what comes after the first dot.
fn app_of(source: &Source) -> String {
    let name = Path::new(&source.path)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let name = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    printable(name, MOST_OF_APP)
}

/// What names may be made of; `-` for none.
fn printable(text: &str, most: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if text.is_empty() { "-".into() } else { text }
}

/// ` name="value"`, section 6.3.3.
fn parameter(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    let allowed = |byte: u8| {
        if byte.is_ascii_graphic() && !b"=]\"".contains(&byte) {
            byte
        } else {
            b'_'
        }
    };
    out.extend(name.bytes().take(MOST_OF_PARAMETER).map(allowed));
    out.extend_from_slice(b"=\"");
    for &byte in value.as_bytes() {
        if b"\"\\]".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Mark;
    use crate::identity::Inode;
    use crate::parse::Parser;

    #[test]
    fn a_message_says_when_where_and_how_serious() {
        let source = Source {
            id: "f".into(),
            path: "/logs/app.log".into(),
            inode: Inode::default(),
        };
        let shape = Shape {
            parsers: vec![Parser::Json],
            fields: vec![("team".into(), "pay]".into())],
            ..Shape::default()
        };
        let encoder = Encoder {
            host: "pod-1".into(),
            ..Encoder::new(&shape)
        };
        let record = |text: &'static str, mark, time| Record {
            source: &source,
            offset: 7,
            text: text.as_bytes(),
            mark,
            time,
            tick: None,
            may_be_known: false,
        };
        let records = [
            record(
                r#"{"level":"error","msg":"two\nlines","a =b":"q\"]"}"#,
                Mark::Whole,
                Some(1_795_687_200_123),
            ),
            record("é", Mark::Partial, None),
        ];
        let mut out = Vec::new();
        encoder.write(&mut out, &records, SystemTime::UNIX_EPOCH);
        let ids = records.map(|record| record.id());
        let expected = [
            format!(
                "<11>1 2026-11-26T10:00:00.123Z pod-1 app - - [log@32473 path=\"/logs/app.log\" id=\"{}\" level=\"error\" a__b=\"q\\\"\\]\" team=\"pay\\]\"] two\nlines",
                ids[0]
            ),
            format!(
                "<14>1 1970-01-01T00:00:00.000Z pod-1 app - - [log@32473 path=\"/logs/app.log\" id=\"{}\" flags=\"partial\" team=\"pay\\]\"] é",
                ids[1]
            ),
        ];
        let framed: String = expected
            .iter()
            .map(|message| format!("{} {message}", message.len()))
            .collect();
        assert_eq!(String::from_utf8(out).unwrap(), framed);
    }

    #[test]
    fn names_are_what_the_protocol_allows() {
        let app = |path: &str| {
            app_of(&Source {
                id: String::new(),
                path: path.into(),
                inode: Inode::default(),
            })
        };
        assert_eq!(app("/logs/my app.log.1"), "myapp");
        assert_eq!(app("/logs/.hidden"), "hidden");
        assert_eq!(app("/logs/\u{e9}"), "-");
        assert_eq!(printable(&"x".repeat(300), MOST_OF_HOST).len(), 255);
    }
}
