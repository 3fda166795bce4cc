//! What Loki understands of a push, and keeps: <https://github.com/grafana/loki/blob/v3.5.0/pkg/push/push.proto>. The decoder is prost's.

#![allow(missing_docs, reason = "the fields are those of the protocol")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;
use serde_json::json;

use crate::http::{Reply, Request, Server};

/// What is pushed.
#[derive(Clone, PartialEq, Message)]
pub struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

/// Entries with the same labels.
#[derive(Clone, PartialEq, Message)]
pub struct Stream {
    #[prost(string, tag = "1")]
    pub labels: String,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<Entry>,
}

/// One line.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub line: String,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Pair>,
}

/// Since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Of structured metadata.
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// How often an entry came, by labels, nanoseconds since 1970 and line.
pub type Kept = BTreeMap<(String, i64, String), usize>;

/// Stores the others when it refuses some, and says what it has.
#[derive(Debug)]
pub struct Loki {
    server: Server,
    kept: Arc<Mutex<Kept>>,
}

impl Loki {
    /// On any port; `judge` says for each line with which status it is refused: with 400 it alone, else the whole push. Pushes have to be
    /// of `tenant`.
    pub fn start(tenant: &'static str, judge: impl FnMut(&str) -> Option<u16> + Send + 'static) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::new()));
        let (shared, judge) = (Arc::clone(&kept), Mutex::new(judge));
        let server = Server::start("127.0.0.1:0", move |request| {
            let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
            if request.header("x-scope-orgid") != Some(tenant) && request.method != "HEAD" {
                return Reply::text(401, "no org id\n");
            }
            answer(&mut lock(&shared), request, &mut *judge)
        })?;
        Ok(Self { server, kept })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// All that is stored.
    pub fn kept(&self) -> Kept {
        lock(&self.kept).clone()
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The query is labels alone, as they were pushed.
fn tell(kept: &Kept, question: &str) -> Reply {
    let value = |name: &str| {
        let pair = question
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        decoded(pair.unwrap_or_default())
    };
    let number = |name: &str| value(name).parse::<i64>().unwrap_or_default();
    let (labels, start, end) = (value("query"), number("start"), number("end"));
    let mut found: Vec<_> = kept
        .keys()
        .filter(|(of, time, _)| *of == labels && (start..end).contains(time))
        .collect();
    found.sort_by_key(|(_, time, _)| *time);
    let limit = usize::try_from(number("limit")).unwrap_or_default();
    let values: Vec<_> = found
        .into_iter()
        .take(limit)
        .map(|(_, time, line)| json!([time.to_string(), line]))
        .collect();
    let streams = json!({ "status": "success", "data": { "resultType": "streams", "result": [{ "stream": {}, "values": values }] } });
    Reply::new(200, "application/json", streams.to_string())
}

/// RFC 3986, section 2.1.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (byte, if byte == b'%' { digit().zip(digit()) } else { None }) {
            (_, Some((high, low))) => bytes.push((high << 4 | low) as u8),
            (byte, None) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(kept: &mut Kept, request: &Request, judge: &mut dyn FnMut(&str) -> Option<u16>) -> Reply {
    if let Some(question) = request.target.strip_prefix("/loki/api/v1/query_range?") {
        return tell(kept, question);
    }
    if request.method == "HEAD" || request.target != "/loki/api/v1/push" {
        return Reply::text(404, "page not found\n");
    }
    if request.header("content-type") != Some("application/x-protobuf") {
        return Reply::text(415, "no such type\n");
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(&request.body);
    let Some(push) = unpacked.ok().and_then(|body| PushRequest::decode(body.as_slice()).ok()) else {
        return Reply::text(400, "no such message\n");
    };
    let mut is_refused = false;
    for stream in push.streams {
        for entry in stream.entries {
            match judge(&entry.line) {
                Some(400) => is_refused = true,
                Some(other) => return Reply::text(other, "not now\n"),
                None => {
                    let time = entry.timestamp.unwrap_or_default();
                    let time = time.seconds * 1_000_000_000 + i64::from(time.nanos);
                    *kept.entry((stream.labels.clone(), time, entry.line)).or_default() += 1;
                }
            }
        }
    }
    if is_refused {
        Reply::text(400, "entry has timestamp too old\n")
    } else {
        Reply::text(204, "")
    }
}
