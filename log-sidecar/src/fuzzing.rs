//! What the fuzz targets throw arbitrary bytes at, with what has to hold of it. Not for anybody else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pod_contract::config::Setting as _;
use serde_json::value::RawValue;

use crate::batch::{Batch, Mark, Segment, Source};
use crate::checkpoint;
use crate::identity::Inode;
use crate::intent::Intent;
use crate::ledger::Ledger;
use crate::parse::{Parser, Shape, Zone, begins_with_time, of_line};
use crate::reader::{Framing, Join, Utf16, framed};
use crate::sink::{Encoder, read_replies};
use crate::transform::{Redact, Transform};

/// A block of lines: no byte is lost, what is masked stays as long as it was, JSON stays JSON, and each document is one that a store can
/// take.
///
/// # Panics
/// When something of that does not hold.
pub fn lines(data: &[u8]) {
    let (choice, block) = data.split_first().unwrap_or((&0, &[]));
    let join = |text| Join::parse(text).expect("it is a name");
    let joins = [
        "time", "java", "python", "go", "ruby", "node", "dotnet", "rust", "/^[A-Z]/", "cri",
    ];
    let joins = joins
        .iter()
        .enumerate()
        .filter(|(index, _)| choice >> (index % 8) & 1 == 1);
    let framing = Framing {
        max_record: 1000,
        joins: joins.map(|(_, name)| join(name)).collect(),
        join_wait: Duration::ZERO,
        utf16: Some(Utf16::Evident),
    };
    let ((data, lines), consumed) = framed(&framing, block.to_vec());
    assert!(consumed <= block.len());
    let (mut last, mut last_at) = (0, None);
    for line in &lines {
        let (range, at) = (line.range(), Some(line.at()));
        assert!(
            last <= range.start && range.end <= data.len() && last_at < at && at < Some(consumed),
            "{range:?} at {at:?} after {last} of {consumed}"
        );
        (last, last_at) = (range.end, at);
    }
    let redact = ["bearer", "cloud-keys", "cards"].map(|name| Redact::parse(name).expect("it is a name"));
    let transform = Transform {
        is_cri: framing.joins.contains(&Join::Cri),
        redact: redact.to_vec(),
        ..Transform::default()
    };
    let source = Arc::new(Source {
        id: "f".into(),
        path: "/logs/a.log".into(),
        inode: Inode::default(),
    });
    let mut segment = Segment::new(&source, 0..consumed as u64, 0, (data, lines), 0);
    let is_json =
        |text: &[u8]| serde_json::from_slice::<&RawValue>(text).is_ok_and(|value| value.get().starts_with('{'));
    let before: Vec<bool> = segment
        .lines
        .iter()
        .map(|line| is_json(&segment.data[line.range()]))
        .collect();
    transform.apply(&mut segment, &Ledger::default());
    let after = segment.lines.iter().map(|line| is_json(&segment.data[line.range()]));
    assert!(
        before.iter().zip(after).all(|(&before, after)| !before || after),
        "what was masked is no JSON any more"
    );
    let batch = Batch::new(vec![segment], SystemTime::UNIX_EPOCH);
    documents(&batch);
}

fn documents(batch: &Batch) {
    let parsers = ["json", "access", "klog", "cri", "logfmt"].map(|name| Parser::parse(name).expect("it is a name"));
    let encoder = Encoder::new(&Shape {
        parsers: parsers.to_vec(),
        ..Shape::default()
    });
    let mut all = encoder.documents(batch.read_at);
    for record in batch.records() {
        begins_with_time(record.text);
        let time = of_line(record.text, Zone::default(), 1_795_687_200_000);
        let mut out = Vec::new();
        all.add(&mut out, &crate::batch::Record { time, ..record });
        let text = std::str::from_utf8(&out).expect("a document is UTF-8");
        let members: Members<'_> = serde_json::from_str(text).expect("a document is JSON");
        assert!(
            record.mark != Mark::Whole || !text.trim_end().contains('\n'),
            "a document is one line"
        );
        let names: BTreeSet<_> = members.0.iter().collect();
        assert_eq!(names.len(), members.0.len(), "a name is there twice: {text}");
    }
}

/// The names of an object, each as often as it is there.
struct Members<'t>(Vec<std::borrow::Cow<'t, str>>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, &RawValue>()? {
                    names.push(name.into());
                }
                Ok(Members(names))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What a sink may say: each answer has a verdict on each record, or says what to do with all of them.
pub fn replies(data: &[u8]) {
    let (status, body) = data.split_first().unwrap_or((&0, &[]));
    read_replies(
        [200, 204, 400, 401, 404, 409, 413, 429, 500, 503][usize::from(status % 10)],
        body,
    );
}

/// What may be in place of the checkpoint: what is read as one says the same when it is written again.
pub fn checkpoint(text: &[u8]) {
    let Ok(positions) = checkpoint::read(text, Path::new(checkpoint::NAME)) else {
        return;
    };
    let mut times = positions.intents.iter().map(Intent::read_at);
    assert!(times.all(|time| time >= SystemTime::UNIX_EPOCH));
    let written = serde_json::to_vec(&positions).expect("positions can be written");
    let again = checkpoint::read(&written, Path::new(checkpoint::NAME)).expect("what was written is read");
    assert_eq!(again, positions);
}
