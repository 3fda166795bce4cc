//! Where records go: each sink encodes, sends, and passes a verdict on every record.

mod bodies;
mod connect;
mod dated;
mod document;
mod elasticsearch;
mod forward;
mod http;
mod index;
mod json;
mod loki;
mod otlp;
mod protobuf;
mod rotating;
mod s3;
mod stdout;
mod stream;
mod syslog;
mod target;
mod web;

use std::sync::Arc;
use std::time::Duration;

use pod_contract::aws::Buckets;
use pod_contract::config::{Secret, Word};
use pod_contract::net::login::Login;
use pod_contract::tls::Renewing;

use crate::batch::{Lot, Record};
use crate::parse::Shape;
use crate::recycle::Pool;
pub(crate) use document::Encoder;
use elasticsearch::Elasticsearch;
use forward::Forward;
use loki::Loki;
use otlp::Otlp;
use rotating::Rotating;
use s3::S3;
use stdout::Stdout;
use syslog::Syslog;
pub(crate) use target::{Cluster, Server, Target};
use web::Web;

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Not now: send it again, alone.
    Retry(String),
    /// The same, and it may have been taken all the same.
    Unclear(String),
    /// Never, if it is this record's own fault: it goes to the dead-letter file.
    Reject(String),
}

/// What is known of some records that may have been taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// For each, whether it is there.
    Each(Vec<bool>),
    /// Ask again later.
    NotNow(String),
    /// The sink does not say.
    Never(String),
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One verdict a record, in their order.
    Each(Vec<Verdict>),
    /// So many were refused for good, and nobody knows which; the others were taken.
    Partial { rejected: usize, why: String },
    /// Nothing was taken, or, if it is unclear, nobody knows: send all of it again, not before the given time.
    Later {
        why: String,
        after: Option<Duration>,
        is_unclear: bool,
    },
    /// Nobody knows what was taken, since this is not what the sink would say: try it with one record.
    Unclear { why: String },
    /// The request is at fault: send it in halves. A single record that is too large is rejected; one that is refused for another reason,
    /// if the sink takes others.
    Smaller {
        why: String,
        too_large: bool,
        /// Some of it may have been taken.
        is_unclear: bool,
    },
}

/// What is done to requests on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compress {
    None,
    Gzip,
}

impl Word for Compress {
    const FORM: &'static str = "none or gzip";
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("gzip", Self::Gzip)];
}

/// How a network sink is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) compress: Compress,
    /// Of every request, beside our own.
    pub(crate) headers: ::http::HeaderMap,
    /// Of Loki's streams.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) login: Option<Login>,
    /// Of forward, which both sides know.
    pub(crate) shared_key: Option<Secret>,
    /// Where buckets are, and whose keys are signed with.
    pub(crate) buckets: Buckets,
    /// For https.
    pub(crate) tls: Option<Arc<Renewing>>,
    /// The sink is given so long to answer.
    pub(crate) timeout: Duration,
    /// Types of errors, beside those that are known, that no record is at fault for.
    pub(crate) hold: Vec<String>,
}

/// The sink of the configuration.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout(Stdout),
    Rotating(Box<Rotating>),
    Elasticsearch(Box<Elasticsearch>),
    Otlp(Box<Otlp>),
    Loki(Box<Loki>),
    Web(Box<Web>),
    Syslog(Box<Syslog>),
    Forward(Box<Forward>),
    S3(Box<S3>),
}

impl Sink {
    pub(crate) fn new(target: &Target, network: Network, shape: &Shape) -> Self {
        match target {
            Target::Stdout => Self::Stdout(Stdout::new(shape)),
            Target::File(place) => Self::Rotating(Box::new(Rotating::new(place, shape))),
            Target::Elasticsearch(cluster) => {
                Self::Elasticsearch(Box::new(Elasticsearch::new(cluster, network, shape)))
            }
            Target::Otlp(server, encoding) => Self::Otlp(Box::new(Otlp::new(server, *encoding, network, shape))),
            Target::Loki(server) => Self::Loki(Box::new(Loki::new(server, network, shape))),
            Target::Syslog(server) => Self::Syslog(Box::new(Syslog::new(&server.address, &network, shape))),
            Target::Datagrams(server) => Self::Syslog(Box::new(Syslog::in_datagrams(&server.address, &network, shape))),
            Target::Forward(server) => Self::Forward(Box::new(Forward::new(server, network, shape))),
            Target::S3(folder) => Self::S3(Box::new(S3::new(folder, network, shape))),
            Target::Web(server, form) => Self::Web(Box::new(Web::new(server, *form, network, shape))),
        }
    }

    /// Requests that may be under way at once.
    pub(crate) fn requests(&self) -> usize {
        if self.keeps_order() { 1 } else { 2 }
    }

    /// Do records have to arrive in their order, or batches to be settled in theirs? Then one is sent after the other.
    pub(crate) fn keeps_order(&self) -> bool {
        matches!(
            self,
            Self::Stdout(_) | Self::Rotating(_) | Self::Syslog(_) | Self::S3(_)
        )
    }

    /// Memory that is kept for the next request.
    pub(crate) fn spare(&self) -> Option<&Pool> {
        match self {
            Self::Stdout(_) => None,
            Self::Rotating(sink) => Some(&sink.bodies),
            Self::Elasticsearch(sink) => Some(&sink.http.bodies),
            Self::Otlp(sink) => Some(&sink.http.bodies),
            Self::Loki(sink) => Some(&sink.http.bodies),
            Self::Web(sink) => Some(&sink.http.bodies),
            Self::S3(sink) => Some(&sink.http.bodies),
            Self::Syslog(sink) => Some(&sink.bodies),
            Self::Forward(sink) => Some(&sink.bodies),
        }
    }

    /// Is the sink there?
    pub(crate) async fn greet(&self) -> Result<(), String> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::Rotating(sink) => sink.greet(),
            Self::Elasticsearch(sink) => sink.greet().await,
            Self::Otlp(sink) => sink.greet().await,
            Self::Loki(sink) => sink.greet().await,
            Self::Web(sink) => sink.greet().await,
            Self::S3(sink) => sink.greet().await,
            Self::Syslog(sink) => sink.greet().await,
            Self::Forward(sink) => sink.greet().await,
        }
    }

    /// Which of `records` are there already? None if that cannot be asked.
    pub(crate) async fn known(&self, records: &[Record<'_>], read_at: std::time::SystemTime) -> Option<Known> {
        match self {
            Self::Elasticsearch(sink) => sink.known(records).await,
            Self::Loki(sink) => sink.known(records, read_at).await,
            _ => None,
        }
    }

    /// Sends `records`, all of a lot or a part, once.
    pub(crate) async fn send(&self, records: &[Record<'_>], lot: Lot<'_>) -> Answer {
        let read_at = lot.read_at;
        match self {
            Self::Stdout(sink) => sink.send(records, read_at).await,
            Self::Rotating(sink) => sink.send(records, read_at).await,
            Self::Elasticsearch(sink) => sink.send(records, read_at).await,
            Self::Otlp(sink) => sink.send(records, read_at).await,
            Self::Loki(sink) => sink.send(records, read_at).await,
            Self::Web(sink) => sink.send(records, read_at).await,
            Self::S3(sink) => sink.send(records, lot).await,
            Self::Syslog(sink) => sink.send(records, read_at).await,
            Self::Forward(sink) => sink.send(records, read_at).await,
        }
    }
}

/// For fuzzing: every decoder of what a sink may say to a few records.
pub(crate) fn read_replies(status: u16, body: &[u8]) {
    let Ok(status) = ::http::StatusCode::from_u16(status) else {
        return;
    };
    let headers = ::http::HeaderMap::new();
    let answers = [
        elasticsearch::judge(status, &headers, body, SENT, &[]),
        otlp::judge(status, &headers, body, SENT),
    ];
    for answer in answers {
        match answer {
            Answer::Each(verdicts) => assert_eq!(verdicts.len(), SENT),
            Answer::Partial { rejected, .. } => assert!(rejected <= SENT),
            Answer::Later { .. } | Answer::Unclear { .. } | Answer::Smaller { .. } => {}
        }
    }
    let ids = ["a".to_owned(), "b".to_owned()];
    if let Known::Each(known) = elasticsearch::answer(status, body, &ids) {
        assert_eq!(known.len(), ids.len());
    }
    drop(forward::decode(&mut &*body, 4));
    drop(loki::note(status, body, &mut std::collections::HashSet::new()));
}

/// Records that the replies of [`read_replies`] are about.
const SENT: usize = 3;
