//! Which entries are there already: <https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time>.
//!
//! Loki notices a repeat only as long as both are in the block that it writes just now (some 256 KiB of lines), so whoever sends again what
//! may have been taken asks first. Entries of more than three hours ago are not asked of those that were written last, by default.

use std::collections::HashSet;

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::parse::Nanos;
use crate::sink::Known;
use crate::sink::http::excerpt;

/// `max_entries_limit_per_query`, as it is by default.
pub(super) const MAX_ENTRIES: usize = 5000;
/// More answers than this are not asked for: so many entries would be there many times.
pub(super) const MAX_PAGES: usize = 16;

/// Time and line.
pub(in crate::sink) type Entry = (Nanos, String);

/// What stands behind the URL of queries, for entries from `first` to `last` of one stream.
pub(super) fn question(labels: &str, first: Nanos, last: Nanos) -> String {
    let query = utf8_percent_encode(labels, NON_ALPHANUMERIC);
    // The end is not part of the range.
    let end = last + 1;
    format!("?query={query}&start={first}&end={end}&limit={MAX_ENTRIES}&direction=forward")
}

#[derive(Deserialize)]
struct Found {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    values: Vec<Value>,
}

/// Time, line, and what else there may be.
#[derive(Deserialize)]
struct Value(
    String,
    String,
    #[serde(default)]
    #[expect(dead_code, reason = "it is there, and says nothing here")]
    Option<IgnoredAny>,
);

/// What an answer adds to what is known; `Err` if it is none. `Ok` says how many entries there were, and the last time.
pub(in crate::sink) fn note(
    status: StatusCode,
    body: &[u8],
    known: &mut HashSet<Entry>,
) -> Result<(usize, Nanos), Known> {
    let why = || {
        format!(
            "it does not say what it has: status {status}: {}",
            excerpt(body).trim_end()
        )
    };
    match status.as_u16() {
        200 => {}
        // A person mends a login that may do everything.
        408 | 429 | 500..=599 => return Err(Known::NotNow(why())),
        _ => return Err(Known::Never(why())),
    }
    let found: Found = serde_json::from_slice(body).map_err(|_| Known::Never(why()))?;
    let (mut count, mut last) = (0, 0);
    for Value(time, line, _) in found.data.result.into_iter().flat_map(|stream| stream.values) {
        let time = time.parse().map_err(|_| Known::Never(why()))?;
        (count, last) = (count + 1, last.max(time));
        known.insert((time, line));
    }
    Ok((count, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_known() {
        let body = r#"{"status":"success","data":{"resultType":"streams","result":[
            {"stream":{"a":"b"},"values":[["5","x"],["7","y",{"structuredMetadata":{}}]]},{"stream":{},"values":[["6","z"]]}]}}"#;
        let mut known = HashSet::new();
        let noted = note(StatusCode::OK, body.as_bytes(), &mut known);
        assert_eq!(noted, Ok((3, 7)));
        assert!(known.contains(&(7, "y".into())) && known.len() == 3);
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        let mut known = HashSet::new();
        for status in [429, 500, 503] {
            let noted = note(StatusCode::from_u16(status).unwrap(), b"", &mut known);
            assert!(matches!(noted, Err(Known::NotNow(_))), "{status}");
        }
        for (status, body) in [
            (401, ""),
            (403, ""),
            (404, ""),
            (200, "ok"),
            (200, r#"{"data":{"result":[{"values":[["x","y"]]}]}}"#),
        ] {
            let noted = note(StatusCode::from_u16(status).unwrap(), body.as_bytes(), &mut known);
            assert!(matches!(noted, Err(Known::Never(_))), "{status} {body}");
        }
    }

    #[test]
    fn a_question_is_one_of_a_stream_and_a_range() {
        assert_eq!(
            question(r#"{a="b c"}"#, 5, 9),
            "?query=%7Ba%3D%22b%20c%22%7D&start=5&end=10&limit=5000&direction=forward"
        );
    }
}
