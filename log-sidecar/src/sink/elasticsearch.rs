//! Elasticsearch and OpenSearch `_bulk`: <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>.
//!
//! `create` with an id of our own makes a repeat harmless: the second answer is 409, and the record is there.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pod_contract::units::HostPort;
use serde::Deserialize;

use super::document::{Encoder, string, write};
use super::{Answer, Verdict};
use crate::batch::Record;

/// With the filter below an item answers with about 30 bytes, or a few hundred when it failed.
const MAX_ANSWER: usize = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the idle timeouts of the usual load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Elasticsearch {
    client: Client<HttpConnector, Full<Bytes>>,
    bulk: String,
    root: String,
    timeout: Duration,
    encoder: Encoder,
}

/// The part of the answer that decides; `status` keeps every item in its position.
#[derive(Debug, Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

#[derive(Debug, Deserialize)]
struct BulkItem {
    create: ItemResult,
}

#[derive(Debug, Deserialize)]
struct ItemResult {
    status: u16,
    error: Option<ItemError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ItemError {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
}

impl Elasticsearch {
    pub(crate) fn new(address: &HostPort, index: &str, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let filter = "filter_path=items.*.status,items.*.error.type,items.*.error.reason";
        Self {
            client,
            bulk: format!("http://{address}/{index}/_bulk?{filter}"),
            root: format!("http://{address}/"),
            timeout,
            encoder: Encoder::new(),
        }
    }

    pub(crate) async fn greet(&self) -> Result<(), String> {
        let request = Request::head(&self.root)
            .body(Full::default())
            .map_err(|e| e.to_string())?;
        match tokio::time::timeout(CONNECT_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(chain(&e)),
            Err(_) => Err("no answer in time".into()),
        }
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let body = self.encode(records, read_at);
        match tokio::time::timeout(self.timeout, self.exchange(body)).await {
            Ok(Ok((status, headers, body))) => judge(status, &headers, &body, records.len()),
            Ok(Err(why)) => Answer::Later { why, after: None },
            Err(_) => Answer::Later {
                why: format!("no answer within {:?}", self.timeout),
                after: None,
            },
        }
    }

    fn encode(&self, records: &[Record<'_>], read_at: SystemTime) -> Vec<u8> {
        let text: usize = records.iter().map(|record| record.text.len()).sum();
        let mut body = Vec::with_capacity(text + records.len() * 256);
        for record in records {
            write(&mut body, format_args!("{{\"create\":{{\"_id\":"));
            string(&mut body, &record.id());
            body.extend_from_slice(b"}}\n");
            self.encoder.document(&mut body, record, read_at);
        }
        body
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let request = Request::post(&self.bulk)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(Full::new(body.into()));
        let response = self
            .client
            .request(request.map_err(|e| e.to_string())?)
            .await
            .map_err(|e| chain(&e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| chain(&*e))?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

/// Whether one item, or all, or none was taken.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Answer {
    let after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(retry_after);
    let excerpt = || String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    match status.as_u16() {
        200..=299 => match serde_json::from_slice::<BulkAnswer>(body) {
            Ok(answer) if answer.items.len() == sent => Answer::Each(answer.items.into_iter().map(verdict).collect()),
            Ok(answer) => Answer::Later {
                why: format!("{sent} items sent, {} answered", answer.items.len()),
                after: None,
            },
            Err(e) => Answer::Later {
                why: format!("the answer is not that of _bulk: {e}: {}", excerpt()),
                after: None,
            },
        },
        400 | 413 => Answer::Smaller {
            why: format!("status {status}: {}", excerpt()),
            too_large: status == StatusCode::PAYLOAD_TOO_LARGE,
        },
        // 401, 403 and 404 as well: a wrong password or a missing index is mended by a person, and then nothing must be gone.
        _ => Answer::Later {
            why: format!("status {status}: {}", excerpt()),
            after,
        },
    }
}

fn verdict(item: BulkItem) -> Verdict {
    let ItemResult { status, error } = item.create;
    let why = || {
        let ItemError { kind, reason } = error.unwrap_or_default();
        format!("status {status}: {kind}: {reason}")
    };
    match status {
        200 | 201 | 409 => Verdict::Delivered,
        // 401, 403 and 404 too: rights, a blocked or a missing index are mended by a person, and then nothing must be gone.
        401 | 403 | 404 | 429 | 500..=599 => Verdict::Retry(why()),
        _ => Verdict::Reject(why()),
    }
}

/// Seconds, RFC 9110, section 10.2.3. The other form, a date, is left to the back-off: a clock that is off would make it worse.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(body: &str, sent: usize) -> Vec<Verdict> {
        match judge(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), sent) {
            Answer::Each(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_item_is_judged_by_its_own_status() {
        let items: Vec<String> = [200, 201, 409, 401, 403, 404, 429, 500, 503, 400, 413]
            .map(|status| format!("{{ \"create\" : {{ \"status\" : {status}, \"error\": {{\"type\":\"t\",\"reason\":\"r\",\"x\":1}} }} }}"))
            .into();
        let verdicts = each(&format!("{{\"items\":[{}]}}", items.join(",")), 11);
        assert!(verdicts[..3].iter().all(|v| *v == Verdict::Delivered));
        assert!(verdicts[3..9].iter().all(|v| matches!(v, Verdict::Retry(_))));
        assert_eq!(verdicts[9], Verdict::Reject("status 400: t: r".into()));
        assert!(matches!(verdicts[10], Verdict::Reject(_)));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_not_taken_for_success() {
        for body in [
            "",
            "OK",
            "{}",
            "{\"items\":[]}",
            "{\"items\":[{\"index\":{\"status\":201}}]}",
            "{\"items\":[{\"create\":{\"status\":201}",
        ] {
            let answer = judge(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), 1);
            assert!(matches!(answer, Answer::Later { .. }), "{body}: {answer:?}");
        }
    }

    #[test]
    fn a_whole_answer_decides_between_later_and_smaller() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        for (status, smaller) in [
            (400, true),
            (413, true),
            (401, false),
            (403, false),
            (404, false),
            (429, false),
            (500, false),
            (503, false),
        ] {
            let answer = judge(StatusCode::from_u16(status).unwrap(), &headers, b"", 1);
            match answer {
                Answer::Smaller { .. } => assert!(smaller, "{status}"),
                Answer::Later { after, .. } => assert!(!smaller && after == Some(Duration::from_secs(7)), "{status}"),
                Answer::Each(_) => panic!("{status}"),
            }
        }
    }
}
