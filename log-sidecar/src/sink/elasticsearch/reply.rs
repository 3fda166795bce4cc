//! What a reply of `_bulk` says of each record, also when parts of it are odd.

use std::fmt;

use http::{HeaderMap, StatusCode};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::sink::http::{excerpt, refused};
use crate::sink::{Answer, Verdict};

/// Types of errors that no record is at fault for: a person mends them, and until then nothing must be gone. A closed index, too many
/// shards, a name that cannot be one, an index that is not there, missing rights, a block, and a cluster that is full or busy.
const HELD: &[&str] = &[
    "index_closed_exception",
    "validation_exception",
    "invalid_index_name_exception",
    "index_not_found_exception",
    "security_exception",
    "cluster_block_exception",
    "circuit_breaking_exception",
    "es_rejected_execution_exception",
    "rejected_execution_exception",
    "unavailable_shards_exception",
    "process_cluster_event_timeout_exception",
];

/// An `illegal_argument_exception` is of all kinds; these reasons speak of the index, not of the record.
const HELD_REASONS: &[&str] = &["pipeline with id", "no write index is defined for alias"];

/// Whether one item, or all, or none was taken. `hold` are the user's own types beside [`HELD`].
pub(in crate::sink) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    sent: usize,
    hold: &[String],
) -> Answer {
    match status.as_u16() {
        // The usual case takes no memory.
        200..=299 if serde_json::from_slice(body).is_ok_and(|all: AllTaken| all.items.0 == sent) => {
            Answer::Each(vec![Verdict::Delivered; sent])
        }
        200..=299 => match serde_json::from_slice(body).ok().and_then(|value| Reply::of(&value)) {
            Some(reply) => reply.judge(sent, hold),
            None => Answer::Unclear {
                why: format!(
                    "the answer is not that of _bulk; is it the right address? {}",
                    excerpt(body)
                ),
            },
        },
        _ => {
            let why = format!("status {status}: {}", excerpt(body));
            refused(status, headers, body, why, &[StatusCode::BAD_REQUEST])
        }
    }
}

/// The part that decides.
#[derive(Debug)]
struct Reply {
    errors: Option<bool>,
    items: Vec<Item>,
}

/// What became of one record; without a status, nobody knows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Item {
    status: Option<u16>,
    kind: String,
    reason: String,
}

impl Reply {
    /// What of it can be understood; `None` if nothing can.
    fn of(value: &Value) -> Option<Self> {
        let errors = value.get("errors").and_then(Value::as_bool);
        let items = match value.get("items") {
            Some(Value::Array(items)) => items.iter().map(Item::of).collect(),
            _ => Vec::new(),
        };
        (errors.is_some() || !items.is_empty()).then_some(Self { errors, items })
    }

    /// Stores that speak this protocol without being Elasticsearch leave the items out when all is well.
    fn judge(self, sent: usize, hold: &[String]) -> Answer {
        match (self.items.len(), self.errors) {
            (0, Some(false)) => Answer::Each(vec![Verdict::Delivered; sent]),
            (answered, _) if answered == sent => {
                Answer::Each(self.items.into_iter().map(|item| item.verdict(hold)).collect())
            }
            (answered, _) => Answer::Unclear {
                why: format!("{sent} items sent, {answered} answered"),
            },
        }
    }
}

/// A reply of which each item was taken.
#[derive(Deserialize)]
struct AllTaken {
    items: Taken,
}

/// So many items.
struct Taken(usize);

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Taken;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("items that were taken")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Taken, A::Error> {
                let mut count = 0;
                while let Some(item) = items.next_element::<Outer>()? {
                    if !is_taken(item.create.status) {
                        return Err(A::Error::custom("an item was not taken"));
                    }
                    count += 1;
                }
                Ok(Taken(count))
            }
        }
        deserializer.deserialize_seq(Count)
    }
}

/// Stored now, or before.
fn is_taken(status: u16) -> bool {
    matches!(status, 200..=299 | 409)
}

/// An item that was taken, as it is documented.
#[derive(Deserialize)]
struct Outer {
    create: Inner,
}

#[derive(Deserialize)]
struct Inner {
    status: u16,
}

impl Item {
    /// The one outcome in `{"create": …}`, by whatever name; a status in an error counts too.
    fn of(value: &Value) -> Self {
        let outcomes = value.as_object().into_iter().flatten();
        let outcome = outcomes.map(|(_, outcome)| outcome).find(|outcome| outcome.is_object());
        let Some(outcome) = outcome else { return Self::default() };
        let error = &outcome["error"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let status = outcome["status"].as_u64().or_else(|| error["status"].as_u64());
        Self {
            status: status.and_then(|status| u16::try_from(status).ok()),
            kind: text(&error["type"]).unwrap_or_default(),
            reason: text(&error["reason"]).or_else(|| text(error)).unwrap_or_default(),
        }
    }

    fn verdict(self, hold: &[String]) -> Verdict {
        let Self { status, kind, reason } = self;
        let Some(status) = status else {
            return Verdict::Unclear("an item of the answer has no status".into());
        };
        let is_held = HELD.contains(&kind.as_str())
            || hold.contains(&kind)
            || HELD_REASONS.iter().any(|held| reason.starts_with(held));
        let why = || format!("status {status}: {kind}: {reason}");
        match status {
            _ if is_taken(status) => Verdict::Delivered,
            _ if is_held => Verdict::Retry(why()),
            // 401, 403 and 404 too: rights, a blocked or a missing index are mended by a person, and then nothing must be gone.
            401 | 403 | 404 | 429 => Verdict::Retry(why()),
            408 | 500..=599 => Verdict::Unclear(why()),
            _ => Verdict::Reject(why()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::RETRY_AFTER;

    use super::*;

    fn judged(body: &str, sent: usize) -> Answer {
        judge(
            StatusCode::OK,
            &HeaderMap::new(),
            body.as_bytes(),
            sent,
            &["mine_exception".into()],
        )
    }

    fn each(body: &str, sent: usize) -> Vec<Verdict> {
        match judged(body, sent) {
            Answer::Each(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    fn one(item: &str) -> Verdict {
        each(&format!("{{\"errors\":true,\"items\":[{item}]}}"), 1).remove(0)
    }

    #[test]
    fn each_item_is_judged_by_its_own_status() {
        let items: Vec<String> = [200, 201, 409, 401, 403, 404, 429, 500, 503, 400, 413]
            .map(|status| format!("{{ \"create\" : {{ \"status\" : {status}, \"error\": {{\"type\":\"t\",\"reason\":\"r\",\"x\":1}} }} }}"))
            .into();
        let verdicts = each(&format!("{{\"items\":[{}]}}", items.join(",")), 11);
        assert!(verdicts[..3].iter().all(|v| *v == Verdict::Delivered));
        assert!(verdicts[3..7].iter().all(|v| matches!(v, Verdict::Retry(_))));
        assert!(verdicts[7..9].iter().all(|v| matches!(v, Verdict::Unclear(_))));
        assert_eq!(verdicts[9], Verdict::Reject("status 400: t: r".into()));
        assert!(matches!(verdicts[10], Verdict::Reject(_)));
    }

    #[test]
    fn what_a_person_mends_is_held_whatever_its_status() {
        let item = |kind: &str, reason: &str| {
            one(&format!(
                "{{\"create\":{{\"status\":400,\"error\":{{\"type\":\"{kind}\",\"reason\":\"{reason}\"}}}}}}"
            ))
        };
        for kind in HELD.iter().copied().chain(["mine_exception"]) {
            assert!(matches!(item(kind, "r"), Verdict::Retry(_)), "{kind}");
        }
        let several = "illegal_argument_exception";
        for reason in [
            "pipeline with id [clean] does not exist",
            "no write index is defined for alias [app]. The write index may be explicitly disabled",
        ] {
            assert!(matches!(item(several, reason), Verdict::Retry(_)), "{reason}");
        }
        for (kind, reason) in [
            (several, "Limit of total fields [1000] has been exceeded"),
            ("document_parsing_exception", "failed to parse field [a]"),
            ("strict_dynamic_mapping_exception", "mapping set to strict"),
        ] {
            assert!(matches!(item(kind, reason), Verdict::Reject(_)), "{kind}");
        }
    }

    #[test]
    fn what_is_understood_of_an_odd_reply_settles() {
        let body = r#"{"took":1,"errors":true,"new":{},"items":[
            {"create":{"status":201,"new":1},"more":2},
            {"index":{"status":201}},
            {"create":{"status":400,"error":{"type":"t","reason":null}}},
            {"create":{"status":400,"error":"in words"}},
            {"create":{"status":400,"error":{"type":["t"],"reason":"r"}}},
            {"create":{"error":{"type":"t","status":429}}},
            {"create":{"status":"201"}},
            {"create":null}, 7, {}
        ]}"#;
        let verdicts = each(body, 10);
        assert_eq!(verdicts[..2], [Verdict::Delivered, Verdict::Delivered]);
        assert_eq!(verdicts[2], Verdict::Reject("status 400: t: ".into()));
        assert_eq!(verdicts[3], Verdict::Reject("status 400: : in words".into()));
        assert_eq!(verdicts[4], Verdict::Reject("status 400: : r".into()));
        assert!(
            verdicts[6..].iter().all(|v| matches!(v, Verdict::Unclear(_))),
            "{verdicts:?}"
        );
    }

    #[test]
    fn without_items_all_is_well_only_if_it_says_so() {
        for body in [
            r#"{"errors":false}"#,
            r#"{"took":0,"errors":false,"items":[]}"#,
            r#"{"errors":false,"items":null}"#,
        ] {
            assert_eq!(each(body, 2), [Verdict::Delivered, Verdict::Delivered], "{body}");
        }
        for body in [
            "",
            "OK",
            "{}",
            "[]",
            "<html>",
            r#"{"errors":true}"#,
            r#"{"items":[]}"#,
            r#"{"errors":false,"items":[{"create":{"status":201}}]}"#,
            r#"{"items":[{"create":{"status":201}"#,
        ] {
            assert!(matches!(judged(body, 2), Answer::Unclear { .. }), "{body}");
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
            let answer = judge(StatusCode::from_u16(status).unwrap(), &headers, b"", 1, &[]);
            match answer {
                Answer::Smaller { .. } => assert!(smaller, "{status}"),
                Answer::Later { after, .. } => assert!(!smaller && after == Some(Duration::from_secs(7)), "{status}"),
                Answer::Each(_) | Answer::Partial { .. } | Answer::Unclear { .. } => panic!("{status}"),
            }
        }
    }
}
