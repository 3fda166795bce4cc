//! OpenTelemetry logs over HTTP, in protobuf or JSON: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! Most stores keep no record's identity, so a repeat after a lost answer or a kill may be there twice; `log.record.uid` tells.

mod binary;
mod json;
mod record;
mod reply;
mod resource;

use std::time::SystemTime;

use pod_contract::config::Word;

pub(super) use self::reply::judge;
use super::http::Http;
use super::{Answer, Network, Server};
use crate::batch::Record;
use crate::parse::Shape;

/// How requests are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

impl Word for Encoding {
    const FORM: &'static str = "proto or json";
    const WORDS: &'static [(&'static str, Self)] = &[("proto", Self::Protobuf), ("json", Self::Json)];
}

#[derive(Debug)]
enum Encoder {
    Protobuf(binary::Encoder),
    Json(json::Encoder),
}

#[derive(Debug)]
pub(crate) struct Otlp {
    pub(super) http: Http,
    origin: String,
    url: String,
    encoder: Encoder,
}

impl Otlp {
    pub(crate) fn new(server: &Server, encoding: Encoding, network: Network, shape: &Shape) -> Self {
        let attributes = resource::attributes(shape);
        Self {
            origin: format!("{}/", server.origin),
            url: server.url(),
            http: Http::new(network),
            encoder: match encoding {
                Encoding::Protobuf => Encoder::Protobuf(binary::Encoder::new(&attributes, shape)),
                Encoding::Json => Encoder::Json(json::Encoder::new(&attributes, shape)),
            },
        }
    }

    pub(crate) async fn greet(&self) -> Result<(), String> {
        self.http.greet(&self.origin).await
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let size = match &self.encoder {
            Encoder::Protobuf(encoder) => encoder.size(records),
            Encoder::Json(encoder) => encoder.size(records),
        };
        let mut body = self.http.bodies.take(size);
        let kind = match &self.encoder {
            Encoder::Protobuf(encoder) => {
                encoder.write(&mut body, records, read_at);
                "application/x-protobuf"
            }
            Encoder::Json(encoder) => {
                encoder.write(&mut body, records, read_at);
                "application/json"
            }
        };
        match self.http.send(&self.url, kind, body).await {
            Ok((status, headers, body)) => judge(status, &headers, &body, records.len()),
            Err(unanswered) => unanswered.into(),
        }
    }
}
