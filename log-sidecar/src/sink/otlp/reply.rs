//! What a reply says: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::sink::http::{excerpt, refused};
use crate::sink::protobuf::{Value, take_field};
use crate::sink::{Answer, Verdict};

/// `ExportLogsServiceResponse.partial_success`, and its members.
const PARTIAL_SUCCESS: u64 = 1;
const REJECTED: u64 = 1;
const MESSAGE: u64 = 2;

/// `google.rpc.Status.message`, which explains an error.
const STATUS_MESSAGE: u64 = 2;

/// The same in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    #[serde(alias = "partial_success")]
    partial_success: Option<Partial>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partial {
    /// As a text; some write it as a number.
    #[serde(default, alias = "rejected_log_records")]
    rejected_log_records: serde_json::Value,
    #[serde(alias = "error_message")]
    error_message: Option<String>,
}

impl Reply {
    fn partial(&self) -> Option<(u64, String)> {
        let Partial {
            rejected_log_records: rejected,
            error_message: why,
        } = self.partial_success.as_ref()?;
        let number = |text: &str| text.parse().ok();
        let rejected = rejected.as_u64().or_else(|| rejected.as_str().and_then(number));
        let why = excerpt(why.as_deref().unwrap_or_default().as_bytes());
        Some((rejected.unwrap_or_default(), why))
    }
}

pub(in crate::sink) fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Answer {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let json = kind.starts_with(b"application/json");
    let json = json.then(|| serde_json::from_slice::<Reply>(body).unwrap_or_default());
    let why = || {
        let text = match &json {
            Some(reply) => reply.message.as_ref().map(|text| excerpt(text.as_bytes())),
            None => member(body, STATUS_MESSAGE).map(excerpt),
        };
        format!("status {status}: {}", text.unwrap_or_else(|| excerpt(body)))
    };
    let partial = match &json {
        Some(reply) => reply.partial(),
        None => partial(body),
    };
    match status.as_u16() {
        200..=299 => match partial {
            Some((rejected, why)) if rejected > 0 => Answer::Partial {
                rejected: sent.min(usize::try_from(rejected).unwrap_or(sent)),
                why: format!("partial success: {why}"),
            },
            Some((_, why)) if !why.is_empty() => {
                tracing::warn!(why, "the sink took everything, and warns");
                Answer::Each(vec![Verdict::Delivered; sent])
            }
            _ => Answer::Each(vec![Verdict::Delivered; sent]),
        },
        _ => refused(status, headers, body, why(), &[StatusCode::BAD_REQUEST]),
    }
}

/// How many records were rejected, and what is said about that.
fn partial(body: &[u8]) -> Option<(u64, String)> {
    let mut rest = member(body, PARTIAL_SUCCESS)?;
    let (mut rejected, mut message) = (0, String::new());
    while let Some((field, value, after)) = take_field(rest) {
        match (field, value) {
            (REJECTED, Value::Number(number)) => rejected = number,
            (MESSAGE, Value::Bytes(text)) => message = excerpt(text),
            _ => {}
        }
        rest = after;
    }
    Some((rejected, message))
}

fn member(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while let Some((field, value, rest)) = take_field(message) {
        if let (true, Value::Bytes(bytes)) = (field == wanted, value) {
            return Some(bytes);
        }
        message = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::RETRY_AFTER;

    use super::*;
    use crate::sink::protobuf::Fields as _;

    fn judged(status: u16, body: &[u8]) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        judge(StatusCode::from_u16(status).unwrap(), &headers, body, 10)
    }

    fn success(rejected: u64, message: &str) -> Vec<u8> {
        let mut partial = Vec::new();
        partial.varint(REJECTED << 3);
        partial.varint(rejected);
        partial.bytes(2, message.as_bytes());
        let mut body = Vec::new();
        body.bytes(1, &partial);
        body
    }

    #[test]
    fn a_success_is_whole_or_partial() {
        for body in [Vec::new(), b"{}".to_vec(), success(0, ""), success(0, "deprecated")] {
            assert!(
                matches!(judged(200, &body), Answer::Each(all) if all == [const { Verdict::Delivered }; 10]),
                "{body:?}"
            );
        }
        assert!(matches!(judged(204, b""), Answer::Each(_)));
        for (said, counted) in [(1, 1), (10, 10), (11, 10), (u64::MAX, 10)] {
            match judged(200, &success(said, "too old")) {
                Answer::Partial { rejected, why } => assert!(rejected == counted && why.contains("too old"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn json_says_the_same() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        let judged = |code, body: &str| judge(StatusCode::from_u16(code).unwrap(), &headers, body.as_bytes(), 10);
        for body in [
            "{}",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":null}"#,
            "odd",
            "",
        ] {
            assert!(matches!(judged(200, body), Answer::Each(_)), "{body}");
        }
        for rejected in ["\"3\"", "3"] {
            let body = format!(r#"{{"partialSuccess":{{"rejectedLogRecords":{rejected},"errorMessage":"too old"}}}}"#);
            assert!(matches!(judged(200, &body), Answer::Partial { rejected: 3, why } if why.contains("too old")));
        }
        let odd = r#"{"partial_success":{"rejected_log_records":"3","error_message":null,"more":[1]}}"#;
        assert!(matches!(judged(200, odd), Answer::Partial { rejected: 3, .. }));
        let answer = judged(400, r#"{"code":3,"message":"no such tenant"}"#);
        assert!(matches!(answer, Answer::Smaller { why, .. } if why.ends_with("no such tenant")));
    }

    #[test]
    fn a_refusal_is_of_the_request_or_for_now() {
        let mut status = Vec::new();
        status.bytes(2, b"no such tenant");
        for code in [401, 403, 404, 429, 500, 502, 503, 504] {
            match judged(code, &status) {
                Answer::Later { why, after, .. } => {
                    assert!(
                        why.contains("no such tenant") && after == Some(Duration::from_secs(7)),
                        "{why}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(
            matches!(judged(400, b"plain"), Answer::Smaller { too_large: false, why, .. } if why.contains("plain"))
        );
        assert!(matches!(judged(413, b""), Answer::Smaller { too_large: true, .. }));
    }
}
