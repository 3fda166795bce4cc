//! OpenTelemetry logs over HTTP, in protobuf: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! Most stores keep no record's identity, so a repeat after a lost answer or a kill may be there twice; `log.record.uid` tells.

mod encode;
mod reply;

use std::time::SystemTime;

use self::encode::Encoder;
pub(super) use self::reply::judge;
use super::http::Http;
use super::{Answer, Network, Server};
use crate::batch::Record;
use crate::parse::Shape;

const PROTOBUF: &str = "application/x-protobuf";

#[derive(Debug)]
pub(crate) struct Otlp {
    pub(super) http: Http,
    origin: String,
    url: String,
    encoder: Encoder,
}

impl Otlp {
    pub(crate) fn new(server: &Server, network: Network, shape: &Shape) -> Self {
        Self {
            origin: format!("{}/", server.origin),
            url: server.url(),
            http: Http::new(network),
            encoder: Encoder::new(shape),
        }
    }

    pub(crate) async fn greet(&self) -> Result<(), String> {
        self.http.greet(&self.origin).await
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let mut body = self.http.bodies.take(self.encoder.size(records));
        self.encoder.write(&mut body, records, read_at);
        match self.http.send(&self.url, PROTOBUF, body).await {
            Ok((status, headers, body)) => judge(status, &headers, &body, records.len()),
            Err(unanswered) => unanswered.into(),
        }
    }
}
