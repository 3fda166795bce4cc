//! Whoever takes documents by HTTP: one JSON object a line, or an array of them. Any 2xx says that all are taken.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::document::Encoder;
use super::http::{Http, excerpt, refused};
use super::{Answer, Network, Server, Verdict};
use crate::batch::{Record, text_bytes};
use crate::parse::Shape;

/// How documents stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Lines,
    Array,
}

#[derive(Debug)]
pub(crate) struct Web {
    pub(super) http: Http,
    origin: String,
    url: String,
    form: Form,
    encoder: Encoder,
}

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 256;

impl Web {
    pub(crate) fn new(server: &Server, form: Form, network: Network, shape: &Shape) -> Self {
        Self {
            origin: format!("{}/", server.origin),
            url: server.url(),
            form,
            http: Http::new(network),
            encoder: Encoder::new(shape).with_ids(),
        }
    }

    pub(crate) async fn greet(&self) -> Result<(), String> {
        self.http.greet(&self.origin).await
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let text = text_bytes(records);
        let mut body = self.http.bodies.take(text + records.len() * AROUND);
        let mut documents = self.encoder.documents(read_at);
        if self.form == Form::Array {
            body.push(b'[');
        }
        for (index, record) in records.iter().enumerate() {
            if self.form == Form::Array && index > 0 {
                body.push(b',');
            }
            documents.add(&mut body, record);
        }
        if self.form == Form::Array {
            body.push(b']');
        }
        let kind = match self.form {
            Form::Lines => "application/x-ndjson",
            Form::Array => "application/json",
        };
        match self.http.send(&self.url, kind, body).await {
            Ok((status, headers, body)) => judge(status, &headers, &body, records.len()),
            Err(unanswered) => unanswered.into(),
        }
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Answer {
    let why = format!("status {status}: {}", excerpt(body).trim_end());
    match status.as_u16() {
        200..=299 => Answer::Each(vec![Verdict::Delivered; sent]),
        _ => refused(
            status,
            headers,
            body,
            why,
            &[StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY],
        ),
    }
}
