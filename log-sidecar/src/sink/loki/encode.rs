//! Records as `PushRequest`: <https://github.com/grafana/loki/blob/v3.5.0/pkg/push/push.proto>.

use std::borrow::Cow;
use std::time::SystemTime;

use crate::batch::{Record, Source, text_bytes};
use crate::parse::{Level, NANOS_OF_MILLI, NANOS_OF_SECOND, Nanos, Parsed, Shape, Value, nanos, system_time};
use crate::pod;
use crate::sink::json::string;
use crate::sink::protobuf::Fields as _;

/// Fields, by message.
mod field {
    pub(super) const STREAMS: u32 = 1;
    pub(super) mod stream {
        pub(in super::super) const LABELS: u32 = 1;
        pub(in super::super) const ENTRIES: u32 = 2;
    }
    pub(super) mod entry {
        pub(in super::super) const TIMESTAMP: u32 = 1;
        pub(in super::super) const LINE: u32 = 2;
        pub(in super::super) const METADATA: u32 = 3;
    }
    pub(super) mod timestamp {
        pub(in super::super) const SECONDS: u32 = 1;
        pub(in super::super) const NANOS: u32 = 2;
    }
    pub(super) mod pair {
        pub(in super::super) const NAME: u32 = 1;
        pub(in super::super) const VALUE: u32 = 2;
    }
}

/// What stands around a line, bytes, about.
const AROUND: usize = 64;

/// Writes requests; knows the labels of the pod.
#[derive(Debug)]
pub(super) struct Encoder {
    labels: Vec<(String, String)>,
    shape: Shape,
    /// What every entry says.
    fields: Vec<u8>,
}

impl Encoder {
    /// `labels` are of the user.
    pub(super) fn new(shape: &Shape, labels: &[(String, String)]) -> Self {
        let names = [("kubernetes.namespace", "namespace"), ("kubernetes.pod.name", "pod")];
        let of_pod = pod::fields().into_iter().filter_map(|(field, value)| {
            let (_, name) = names.iter().find(|(ours, _)| *ours == field)?;
            Some(((*name).to_owned(), value))
        });
        let mut all: Vec<(String, String)> = of_pod.collect();
        for (name, value) in labels {
            all.retain(|(known, _)| known != name);
            all.push((name.clone(), value.clone()));
        }
        let mut fields = Vec::new();
        for (name, value) in &shape.fields {
            metadata(&mut fields, &label(name), value);
        }
        Self {
            labels: all,
            shape: shape.clone(),
            fields,
        }
    }

    /// Of a request before it is packed, bytes, about.
    pub(super) fn size(&self, records: &[Record<'_>]) -> usize {
        let text = text_bytes(records);
        text + records.len() * (AROUND + self.fields.len())
    }

    /// Each file is a stream.
    pub(super) fn write(&self, out: &mut Vec<u8>, records: &[Record<'_>], read_at: SystemTime) {
        let streams = streams(records);
        let (mut stream, mut entry, mut timestamp) = (Vec::new(), Vec::new(), Vec::new());
        for (source, records) in streams {
            stream.clear();
            stream.bytes(field::stream::LABELS, &self.labels_of(source));
            for record in records {
                entry.clear();
                timestamp.clear();
                let time = time_of(record, read_at);
                timestamp.number(field::timestamp::SECONDS, time / NANOS_OF_SECOND);
                timestamp.number(field::timestamp::NANOS, time % NANOS_OF_SECOND);
                entry.bytes(field::entry::TIMESTAMP, &timestamp);
                self.write_entry(&mut entry, record);
                stream.bytes(field::stream::ENTRIES, &entry);
            }
            out.bytes(field::STREAMS, &stream);
        }
    }

    /// As PromQL writes them: `{filename="/logs/app.log", namespace="shop"}`.
    pub(super) fn labels_of(&self, source: &Source) -> Vec<u8> {
        let mut out = b"{filename=".to_vec();
        string(&mut out, &source.path);
        for (name, value) in &self.labels {
            out.extend_from_slice(b", ");
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            string(&mut out, value);
        }
        out.push(b'}');
        out
    }

    /// What stands in the place of a line.
    pub(super) fn line_of(&self, record: &Record<'_>) -> String {
        let line = String::from_utf8_lossy(record.text);
        let parsed = self.shape.of(&line, record.time.is_some());
        let parsed = parsed.filter(|parsed| self.metadata_of(parsed).is_some());
        let text = parsed.as_ref().map(|parsed| text_of(parsed, &line).into_owned());
        text.unwrap_or_else(|| line.into_owned())
    }

    /// Fields under names as labels have them; `None` if they are too many, or two come to have one name.
    fn metadata_of<'p>(&self, parsed: &'p Parsed<'_>) -> Option<Vec<(String, Cow<'p, str>)>> {
        let level = parsed.level.map(Level::name);
        let mut fields: Vec<(String, Cow<'p, str>)> = Vec::with_capacity(parsed.fields.len());
        let mut size = 0;
        for (name, value) in &parsed.fields {
            let name = label(&self.shape.flat(name));
            let value = value.text();
            // Told already.
            if name == "level" && level.is_some_and(|level| Level::of_word(&value).map(Level::name) == Some(level)) {
                continue;
            }
            size += name.len() + value.len();
            let is_taken = fields.len() == MOST_FIELDS
                || size > MOST_OF_FIELDS
                || (name == "level" && level.is_some())
                || fields.iter().any(|(known, _)| *known == name);
            if is_taken {
                return None;
            }
            fields.push((name, value));
        }
        Some(fields)
    }

    fn write_entry(&self, out: &mut Vec<u8>, record: &Record<'_>) {
        let line = String::from_utf8_lossy(record.text);
        match self.shape.of(&line, record.time.is_some()) {
            None => out.bytes(field::entry::LINE, line.as_bytes()),
            Some(parsed) => {
                let level = parsed
                    .level
                    .map(|level| ("level".to_owned(), Cow::Borrowed(level.name())));
                match self.metadata_of(&parsed) {
                    Some(fields) => {
                        out.bytes(field::entry::LINE, text_of(&parsed, &line).as_bytes());
                        level
                            .iter()
                            .chain(&fields)
                            .for_each(|(name, value)| metadata(out, name, value));
                    }
                    None => {
                        out.bytes(field::entry::LINE, line.as_bytes());
                        level.iter().for_each(|(name, value)| metadata(out, name, value));
                    }
                }
            }
        }
        if let Some(flag) = record.mark.flag() {
            metadata(out, "flags", flag);
        }
        out.extend_from_slice(&self.fields);
    }
}

/// Of a record of fields alone, the whole line is what people read.
fn text_of<'p>(parsed: &'p Parsed<'_>, line: &'p str) -> Cow<'p, str> {
    parsed.message.as_ref().map_or(Cow::Borrowed(line), Value::text)
}

/// Below `max_structured_metadata_entries_count` and `max_structured_metadata_size`, as they are by default; of more fields, the whole line
/// tells.
const MOST_FIELDS: usize = 100;
const MOST_OF_FIELDS: usize = 48 << 10;

/// What an entry is known by, beside its line. What was rejected, and what stands for lines that are lost, has no tick.
pub(super) fn time_of(record: &Record<'_>, read_at: SystemTime) -> Nanos {
    record.tick.unwrap_or_else(|| {
        let time = record.time.map_or(read_at, system_time);
        nanos(time) + record.offset % NANOS_OF_MILLI
    })
}

/// By file: what was truncated is the same one with another id.
pub(super) fn streams<'r, 'b>(records: &'r [Record<'b>]) -> Vec<(&'b Source, Vec<&'r Record<'b>>)> {
    let mut streams: Vec<(&Source, Vec<&Record<'_>>)> = Vec::new();
    for record in records {
        match streams.iter_mut().find(|(source, _)| source.path == record.source.path) {
            Some((_, of_file)) => of_file.push(record),
            None => streams.push((record.source, vec![record])),
        }
    }
    streams
}

/// A name as labels have it.
fn label(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.chars().map(allowed).collect()
}

/// One pair of structured metadata.
fn metadata(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut pair = Vec::with_capacity(name.len() + value.len() + 8);
    pair.bytes(field::pair::NAME, name.as_bytes());
    pair.bytes(field::pair::VALUE, value.as_bytes());
    out.bytes(field::entry::METADATA, &pair);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use testbed::peer::loki::PushRequest;

    use super::*;
    use crate::batch::Mark;
    use crate::identity::Inode;
    use crate::parse::Parser;

    fn source(id: &str, path: &str) -> Source {
        Source {
            id: id.into(),
            path: path.into(),
            inode: Inode::default(),
        }
    }

    fn written(encoder: &Encoder, records: &[Record<'_>]) -> PushRequest {
        let mut out = Vec::new();
        encoder.write(&mut out, records, SystemTime::UNIX_EPOCH);
        PushRequest::decode(out.as_slice()).unwrap()
    }

    #[test]
    fn each_file_is_a_stream_and_a_tick_is_the_time_of_an_entry() {
        let sources = [
            source("f", "/logs/\"a\".log"),
            source("g", "/logs/b.log"),
            source("h", "/logs/b.log"),
        ];
        let record = |index: usize, tick, text: &'static str| Record {
            source: &sources[index],
            offset: 5,
            text: text.as_bytes(),
            mark: Mark::Whole,
            time: Some(1_795_687_200_123),
            tick,
            may_be_known: false,
        };
        let records = [
            record(0, Some(7_000_000_001), "started"),
            record(1, Some(7_000_000_001), "started"),
            record(0, Some(7_000_000_002), "started"),
            record(2, None, "rejected once"),
        ];
        let encoder = Encoder::new(&Shape::default(), &[("job".into(), "shop".into())]);
        let request = written(&encoder, &records);
        let labels: Vec<_> = request.streams.iter().map(|stream| stream.labels.as_str()).collect();
        assert_eq!(
            labels,
            [
                r#"{filename="/logs/\"a\".log", job="shop"}"#,
                r#"{filename="/logs/b.log", job="shop"}"#
            ]
        );
        let times = request.streams.iter().flat_map(|stream| &stream.entries);
        let times: Vec<_> = times.map(|entry| entry.timestamp.unwrap()).collect();
        let times: Vec<_> = times.iter().map(|time| (time.seconds, time.nanos)).collect();
        assert_eq!(times, [(7, 1), (7, 2), (7, 1), (1_795_687_200, 123_000_005)]);
    }

    #[test]
    fn of_too_many_fields_the_whole_line_tells() {
        let source = source("f", "/logs/a.log");
        let shape = Shape {
            parsers: vec![Parser::Json],
            ..Shape::default()
        };
        let encoder = Encoder::new(&shape, &[]);
        let many = |count: usize| {
            let fields: String = (0..count).map(|n| format!("\"f{n}\":1,")).collect();
            format!("{{{fields}\"level\":\"warn\",\"msg\":\"short\"}}")
        };
        let lines = [
            many(MOST_FIELDS),
            many(MOST_FIELDS + 1),
            r#"{"a.b":1,"a_b":2,"msg":"x"}"#.to_owned(),
        ];
        let records = lines.each_ref().map(|line| Record {
            source: &source,
            offset: 7,
            text: line.as_bytes(),
            mark: Mark::Whole,
            time: None,
            tick: None,
            may_be_known: false,
        });
        let request = written(&encoder, &records);
        let entries = &request.streams[0].entries;
        let counts: Vec<_> = entries.iter().map(|entry| entry.metadata.len()).collect();
        assert_eq!(
            (counts, entries[0].line.as_str()),
            (vec![MOST_FIELDS + 1, 1, 0], "short")
        );
        assert_eq!((&entries[1].line, &entries[2].line), (&lines[1], &lines[2]));
        assert_eq!(encoder.line_of(&records[1]), lines[1]);
    }

    #[test]
    fn fields_are_structured_metadata() {
        let source = source("f", "/logs/a.log");
        let shape = Shape {
            parsers: vec![Parser::Json],
            fields: vec![("team".into(), "pay".into())],
            ..Shape::default()
        };
        let record = Record {
            source: &source,
            offset: 7,
            text: br#"{"level":"WARN","msg":"it \"is\"","http.status":500,"x":"y"}"#,
            mark: Mark::Truncated,
            time: None,
            tick: None,
            may_be_known: false,
        };
        let request = written(&Encoder::new(&shape, &[]), &[record]);
        let entry = &request.streams[0].entries[0];
        let metadata: Vec<_> = entry
            .metadata
            .iter()
            .map(|p| (p.name.as_str(), p.value.as_str()))
            .collect();
        assert_eq!(entry.line, r#"it "is""#);
        assert_eq!(
            metadata,
            [
                ("level", "warn"),
                ("http_status", "500"),
                ("x", "y"),
                ("flags", "truncated"),
                ("team", "pay")
            ]
        );
        assert_eq!(entry.timestamp.unwrap().seconds, 0);
    }
}
