//! Elasticsearch and OpenSearch `_bulk`: <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>.
//!
//! `create` with an id of our own makes a repeat harmless: the second answer is 409, and the record is there.

mod known;
mod reply;

use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;

pub(super) use self::known::answer;
use self::known::{SEARCH, question};
pub(super) use self::reply::judge;
use super::document::Encoder;
use super::http::Http;
use super::index::{Index, Names};
use super::{Answer, Cluster, Known, Network};
use crate::batch::{Record, text_bytes};
use crate::parse::{Shape, millis};
use crate::recycle::Recycled;

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 256;
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";
/// All that decides; `status` keeps every item in its position.
const FILTER: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

#[derive(Debug)]
pub(crate) struct Elasticsearch {
    pub(super) http: Http,
    bulk: String,
    index: Index,
    root: String,
    /// Types of errors, beside those that are known, that no record is at fault for.
    hold: Vec<String>,
    encoder: Encoder,
}

impl Elasticsearch {
    pub(crate) fn new(cluster: &Cluster, network: Network, shape: &Shape) -> Self {
        let root = format!("{}/", cluster.server.url());
        let pipeline = cluster.pipeline.as_ref();
        let pipeline = pipeline.map_or(String::new(), |name| format!("&pipeline={name}"));
        Self {
            bulk: if cluster.index.is_dated() {
                format!("{root}_bulk?{FILTER}{pipeline}")
            } else {
                format!("{root}{}/_bulk?{FILTER}{pipeline}", cluster.index.at(0))
            },
            index: cluster.index.clone(),
            root,
            hold: network.hold.clone(),
            http: Http::new(network),
            encoder: Encoder::new(shape),
        }
    }

    pub(crate) async fn greet(&self) -> Result<(), String> {
        self.http.greet(&self.root).await
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let body = self.encode(records, read_at);
        match self.http.send(&self.bulk, NDJSON, body).await {
            Ok((status, headers, body)) => judge(status, &headers, &body, records.len(), &self.hold),
            Err(unanswered) => unanswered.into(),
        }
    }

    /// Asks everything behind the name of the index. What was taken just now shows after a refresh only.
    /// None if that is the index itself.
    pub(crate) async fn known(&self, records: &[Record<'_>]) -> Option<Known> {
        // One by date is no alias: an id that is known there is told by the answer to a repeat.
        if self.index.is_dated() {
            return None;
        }
        let index = format!("{}{}/", self.root, self.index.at(0));
        let ids: Vec<String> = records.iter().map(Record::id).collect();
        let refreshed = self.http.post(&format!("{index}_refresh"), JSON, Bytes::new()).await;
        let found = match refreshed {
            Ok((StatusCode::OK | StatusCode::NOT_FOUND, ..)) => {
                self.http
                    .post(&format!("{index}{SEARCH}"), JSON, question(&ids).into())
                    .await
            }
            other => other,
        };
        Some(match found {
            Ok((status, _, body)) => answer(status, &body, &ids),
            Err(unanswered) => Known::NotNow(unanswered.why),
        })
    }

    fn encode(&self, records: &[Record<'_>], read_at: SystemTime) -> Recycled {
        let text = text_bytes(records);
        let mut body = self.http.bodies.take(text + records.len() * AROUND);
        let mut documents = self.encoder.documents(read_at);
        let mut names = self.index.is_dated().then(|| Names::new(&self.index));
        for record in records {
            body.extend_from_slice(b"{\"create\":{");
            if let Some(names) = &mut names {
                body.extend_from_slice(b"\"_index\":\"");
                body.extend_from_slice(names.at(record.time.unwrap_or(millis(read_at))).as_bytes());
                body.extend_from_slice(b"\",");
            }
            body.extend_from_slice(b"\"_id\":\"");
            record.write_id(&mut body);
            body.extend_from_slice(b"\"}}\n");
            documents.add(&mut body, record);
        }
        body
    }
}
