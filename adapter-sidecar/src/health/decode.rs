//! Health documents as the usual frameworks write them. They differ in words, not in shape: a status, and below some key the components.
//!
//! Spring Boot Actuator (`components`, before 2.2 `details`), MicroProfile Health (`checks`, a list with `name`), ASP.NET Core (`entries`,
//! and its plain text), Terminus (`details`, with `info` and `error` as parts of it), application/health+json (`checks`, lists by name).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Component, Health, Status};

/// Deeper is not looked at, levels.
const MAX_DEPTH: usize = 16;
/// More components are an error, not a flood of series.
const MAX_COMPONENTS: usize = 1000;
/// A longer name is cut, bytes.
const MAX_NAME: usize = 256;
/// Where components stand.
const CHILDREN: [&str; 4] = ["components", "checks", "entries", "details"];

/// Why a body is not a health document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("no \"status\" in the document")]
    NoStatus,
    #[error("more than {MAX_COMPONENTS} components")]
    TooMany,
}

/// Understands a health document.
pub(crate) fn decode(body: &[u8]) -> Result<Health, Garbage> {
    // ASP.NET Core answers with a bare word unless told otherwise.
    if let Some(status) = std::str::from_utf8(body).ok().and_then(|text| known(text.trim())) {
        return Ok(Health {
            status,
            components: Vec::new(),
        });
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| Garbage::NotJson(e.to_string()))?;
    let document = value.as_object().ok_or(Garbage::NoStatus)?;
    let status = status_of(document).ok_or(Garbage::NoStatus)?;
    let mut found = BTreeMap::new();
    children(document, "", 0, &mut found)?;
    Ok(Health {
        status,
        components: found
            .into_iter()
            .map(|(name, status)| Component { name, status })
            .collect(),
    })
}

fn children(
    parent: &Map<String, Value>,
    prefix: &str,
    depth: usize,
    found: &mut BTreeMap<String, Status>,
) -> Result<(), Garbage> {
    if depth == MAX_DEPTH {
        return Ok(());
    }
    for key in CHILDREN {
        match parent.get(key) {
            Some(Value::Object(by_name)) => {
                for (name, child) in by_name {
                    component(&join(prefix, name), child, depth, found)?;
                }
            }
            Some(Value::Array(list)) => {
                for (index, child) in list.iter().enumerate() {
                    let name = child
                        .get("name")
                        .and_then(Value::as_str)
                        .map_or_else(|| index.to_string(), str::to_owned);
                    component(&join(prefix, &name), child, depth, found)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Something that stands where a component may stand: it is one if it has a status; details of a component mostly have none.
fn component(name: &str, value: &Value, depth: usize, found: &mut BTreeMap<String, Status>) -> Result<(), Garbage> {
    match value {
        Value::Object(object) => {
            let Some(status) = status_of(object) else { return Ok(()) };
            note(name, status, found)?;
            children(object, name, depth + 1, found)
        }
        // health+json: the measurements of one component; it is as well as the worst of them.
        Value::Array(measurements) => {
            let statuses = measurements.iter().filter_map(Value::as_object).filter_map(status_of);
            statuses.max().map_or(Ok(()), |worst| note(name, worst, found))
        }
        _ => Ok(()),
    }
}

/// Of two entries with one name, the worse counts.
fn note(name: &str, status: Status, found: &mut BTreeMap<String, Status>) -> Result<(), Garbage> {
    let name = &name[..name.floor_char_boundary(MAX_NAME)];
    if found.len() == MAX_COMPONENTS && !found.contains_key(name) {
        return Err(Garbage::TooMany);
    }
    let noted = found.entry(name.to_owned()).or_insert(status);
    *noted = status.max(*noted);
    Ok(())
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    }
}

/// A word that no framework uses is a status that nobody knows, not an error: custom statuses are allowed by most.
fn status_of(object: &Map<String, Value>) -> Option<Status> {
    match object.get("status")? {
        Value::String(word) => Some(known(word).unwrap_or(Status::Unknown)),
        // ASP.NET Core with enumerations as numbers.
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(Status::Down),
            Some(1) => Some(Status::Warn),
            Some(2) => Some(Status::Up),
            // An error document tells its HTTP status under the same name.
            _ => None,
        },
        _ => None,
    }
}

fn known(word: &str) -> Option<Status> {
    const WORDS: [(&str, Status); 14] = [
        ("up", Status::Up),
        ("ok", Status::Up),
        ("pass", Status::Up),
        ("healthy", Status::Up),
        ("warn", Status::Warn),
        ("warning", Status::Warn),
        ("degraded", Status::Warn),
        ("down", Status::Down),
        ("fail", Status::Down),
        ("error", Status::Down),
        ("unhealthy", Status::Down),
        ("shutting_down", Status::OutOfService),
        ("out_of_service", Status::OutOfService),
        ("unknown", Status::Unknown),
    ];
    WORDS
        .iter()
        .find(|(known, _)| word.eq_ignore_ascii_case(known))
        .map(|(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Status, Vec<(String, Status)>) {
        let health = decode(text.as_bytes()).unwrap();
        (
            health.status,
            health.components.into_iter().map(|c| (c.name, c.status)).collect(),
        )
    }

    fn named(pairs: &[(&str, Status)]) -> Vec<(String, Status)> {
        pairs
            .iter()
            .map(|(name, status)| ((*name).to_owned(), *status))
            .collect()
    }

    #[test]
    fn spring_boot_actuator() {
        let text = r#"{"status":"DOWN","groups":["liveness"],"components":{
            "db":{"status":"DOWN","components":{"primary":{"status":"UP"},"replica":{"status":"DOWN","details":{"error":"x"}}}},
            "diskSpace":{"status":"UP","details":{"total":5,"status":1.5,"path":{"status":"UP"}}},
            "custom":{"status":"FATAL"},"queue":{"status":"OUT_OF_SERVICE"}}}"#;
        let expected = [
            ("custom", Status::Unknown),
            ("db", Status::Down),
            ("db/primary", Status::Up),
            ("db/replica", Status::Down),
            ("diskSpace", Status::Up),
            ("diskSpace/path", Status::Up),
            ("queue", Status::OutOfService),
        ];
        assert_eq!(read(text), (Status::Down, named(&expected)));
        assert_eq!(read(r#"{"status":"UP"}"#), (Status::Up, vec![]));
        assert_eq!(
            read(r#"{"status":"UP","details":{"db":{"status":"UP"}}}"#),
            (Status::Up, named(&[("db", Status::Up)]))
        );
    }

    #[test]
    fn the_other_frameworks() {
        let micro_profile =
            r#"{"status":"DOWN","checks":[{"name":"a","status":"UP"},{"name":"a","status":"DOWN"},{"status":"UP"}]}"#;
        assert_eq!(
            read(micro_profile),
            (Status::Down, named(&[("2", Status::Up), ("a", Status::Down)]))
        );
        let health_json = r#"{"status":"warn","checks":{"cassandra:time":[{"status":"pass"},{"status":"warn"}],"cpu":[{"observedValue":1}]}}"#;
        assert_eq!(
            read(health_json),
            (Status::Warn, named(&[("cassandra:time", Status::Warn)]))
        );
        let asp =
            r#"{"status":"Degraded","totalDuration":"00:00:01","entries":{"a":{"status":"Healthy"},"b":{"status":0}}}"#;
        assert_eq!(
            read(asp),
            (Status::Warn, named(&[("a", Status::Up), ("b", Status::Down)]))
        );
        let terminus = r#"{"status":"error","info":{"a":{"status":"up"}},"error":{"b":{"status":"down"}},"details":{"a":{"status":"up"},"b":{"status":"down"}}}"#;
        assert_eq!(
            read(terminus),
            (Status::Down, named(&[("a", Status::Up), ("b", Status::Down)]))
        );
        assert_eq!(read("Unhealthy\n"), (Status::Down, vec![]));
    }

    #[test]
    fn garbage_is_told_apart() {
        for (text, garbage) in [
            ("[]", Garbage::NoStatus),
            ("{}", Garbage::NoStatus),
            ("{\"status\":null}", Garbage::NoStatus),
            ("\"UP\"", Garbage::NoStatus),
            ("{\"status\":404,\"error\":\"Not Found\"}", Garbage::NoStatus),
        ] {
            assert_eq!(decode(text.as_bytes()), Err(garbage), "{text}");
        }
        for text in ["", "<html>", "{\"status\":\"UP\"", "{\"status\":\"UP\"}x", "\u{1}"] {
            assert!(matches!(decode(text.as_bytes()), Err(Garbage::NotJson(_))), "{text:?}");
        }
    }

    #[test]
    fn components_names_and_depth_have_limits() {
        let many = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!("\"c{n}\":{{\"status\":\"UP\"}}")).collect();
            decode(format!("{{\"status\":\"UP\",\"components\":{{{}}}}}", list.join(",")).as_bytes())
                .map(|h| h.components.len())
        };
        assert_eq!(many(MAX_COMPONENTS - 1), Ok(MAX_COMPONENTS - 1));
        assert_eq!(many(MAX_COMPONENTS), Ok(MAX_COMPONENTS));
        assert_eq!(many(MAX_COMPONENTS + 1), Err(Garbage::TooMany));
        let deep = |levels: usize| {
            let inner = (0..levels).fold(String::new(), |inner, _| {
                format!(",\"components\":{{\"c\":{{\"status\":\"UP\"{inner}}}}}")
            });
            decode(format!("{{\"status\":\"UP\"{inner}}}").as_bytes())
                .unwrap()
                .components
                .len()
        };
        assert_eq!(
            [deep(MAX_DEPTH - 1), deep(MAX_DEPTH), deep(MAX_DEPTH + 1)],
            [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH]
        );
        let named = |length: usize| {
            read(&format!(
                "{{\"status\":\"UP\",\"checks\":[{{\"name\":\"{}\",\"status\":\"UP\"}}]}}",
                "n".repeat(length)
            ))
            .1[0]
                .0
                .len()
        };
        assert_eq!(
            [named(MAX_NAME - 1), named(MAX_NAME), named(MAX_NAME + 1)],
            [MAX_NAME - 1, MAX_NAME, MAX_NAME]
        );
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _result = decode(&body);
        }
    }
}
