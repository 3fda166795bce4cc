//! Which records are there already, asked of everything behind the name of an index.
//!
//! An id is unique within one backing index. Behind an alias or a data stream that has rolled over, a repeat would be stored once more, so
//! whoever sends again what may have been taken asks first: <https://www.elastic.co/docs/reference/query-languages/query-dsl/query-dsl-ids-query>.

use std::collections::HashSet;

use http::StatusCode;
use serde::Deserialize;

use crate::sink::Known;
use crate::sink::http::excerpt;

pub(super) const SEARCH: &str = "_search?ignore_unavailable=true&allow_no_indices=true\
    &filter_path=timed_out,_shards.failed,hits.hits._id";

/// `index.max_result_window`, as it is by default.
const MAX_HITS: usize = 10_000;

pub(super) fn question(ids: &[String]) -> String {
    let query = serde_json::json!({
        // One may be there twice, in two backing indices; more than the window of results nobody may ask for.
        "size": (2 * ids.len()).min(MAX_HITS),
        "_source": false,
        "track_total_hits": false,
        "query": { "ids": { "values": ids } },
    });
    query.to_string()
}

#[derive(Deserialize)]
struct Found {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(default)]
    hits: Hits,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Default, Deserialize)]
struct Hits {
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
}

/// Reads the answer to [`question`]. A part of the shards is not enough.
pub(in crate::sink) fn answer(status: StatusCode, body: &[u8], ids: &[String]) -> Known {
    let why = || format!("it does not say what it has: status {status}: {}", excerpt(body));
    match status.as_u16() {
        200 => match serde_json::from_slice::<Found>(body) {
            Ok(found) if found.timed_out || found.shards.failed > 0 => Known::NotNow(why()),
            Ok(found) => {
                let there: HashSet<&str> = found.hits.hits.iter().map(|hit| hit.id.as_str()).collect();
                Known::Each(ids.iter().map(|id| there.contains(id.as_str())).collect())
            }
            Err(_) => Known::Never(why()),
        },
        // Nothing can be in an index that is not there.
        404 => Known::Each(vec![false; ids.len()]),
        // A person mends the login.
        401 | 408 | 429 | 500..=599 => Known::NotNow(why()),
        _ => Known::Never(why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Known {
        let ids = ["a", "b"].map(String::from);
        answer(StatusCode::from_u16(status).unwrap(), body.as_bytes(), &ids)
    }

    #[test]
    fn what_is_found_is_known() {
        let whole = r#"{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[{"_id":"b"},{"_id":"b"}]}}"#;
        assert_eq!(answered(200, whole), Known::Each(vec![false, true]));
        let nothing = r#"{"timed_out":false,"_shards":{"failed":0}}"#;
        assert_eq!(answered(200, nothing), Known::Each(vec![false, false]));
        assert_eq!(answered(404, ""), Known::Each(vec![false, false]));
    }

    #[test]
    fn half_an_answer_is_none() {
        for body in [
            r#"{"timed_out":true,"_shards":{"failed":0}}"#,
            r#"{"timed_out":false,"_shards":{"failed":1},"hits":{"hits":[{"_id":"b"}]}}"#,
        ] {
            assert!(matches!(answered(200, body), Known::NotNow(_)), "{body}");
        }
        for status in [401, 408, 429, 500, 503] {
            assert!(matches!(answered(status, ""), Known::NotNow(_)), "{status}");
        }
        for (status, body) in [(403, ""), (405, ""), (400, "{}"), (200, "OK"), (200, "{}")] {
            assert!(matches!(answered(status, body), Known::Never(_)), "{status} {body}");
        }
    }
}
