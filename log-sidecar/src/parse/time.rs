//! When a line was written, as it says itself.

use std::fmt;

use memchr::memmem;
use pod_contract::config::Word;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::civil::{DAY, Millis, SECOND};
use super::forms::{Zone, at_start};

/// What becomes the time of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timestamp {
    /// When it was read.
    Read,
    /// What the line says.
    Line,
}

impl Word for Timestamp {
    const FORM: &'static str = "read or line";
    const WORDS: &'static [(&'static str, Self)] = &[("read", Self::Read), ("line", Self::Line)];
}

/// A time that is not at the start of its line stands within so many bytes.
const WITHIN: usize = 128;
/// What stands before it then: of access logs and of Ruby, and of logfmt.
const BEFORE: [&[u8]; 5] = [b"[", b"time=", b"ts=", b"timestamp=", b"t="];

/// The time of a line: at its start, in brackets, in logfmt, or in a member of JSON. `zone` is for times without one, and `now` for those
/// without a year.
pub(crate) fn of_line(text: &[u8], zone: Zone, now: Millis) -> Option<Millis> {
    let text = text.trim_ascii_start();
    let time = match text.first()? {
        b'{' => of_json(text, zone, now),
        b'[' => at_start(&text[1..], zone, now).or_else(|| within(&text[1..], zone, now)),
        _ => at_start(text, zone, now).or_else(|| within(text, zone, now)),
    };
    time.filter(|time| (0..now.saturating_add(DAY)).contains(time))
}

/// 2024-02-29: then every day of a year is near.
const LEAP_DAY: Millis = 1_709_164_800_000;

/// Is there a time at its start?
pub(super) fn is_time(text: &[u8]) -> bool {
    at_start(text, Zone::default(), LEAP_DAY).is_some()
}

/// Is it the first line of a record by its look: does it say its time right at its start, or is it an object of JSON?
pub(crate) fn begins_with_time(line: &[u8]) -> bool {
    match line.first() {
        Some(b'{') => line.starts_with(b"{\"") || line == b"{}",
        Some(b'[') => is_time(&line[1..]),
        _ => is_time(line),
    }
}

fn within(text: &[u8], zone: Zone, now: Millis) -> Option<Millis> {
    let near = &text[..text.len().min(WITHIN)];
    BEFORE.iter().find_map(|before| {
        memmem::find_iter(near, before).find_map(|at| {
            // A whole word: `attempts=5` is none.
            let is_word = *before == b"[" || at == 0 || near[at - 1] == b' ';
            let rest = &text[at + before.len()..];
            is_word.then(|| at_start(rest.strip_prefix(b"\"").unwrap_or(rest), zone, now))?
        })
    })
}

/// Members that hold it, the ones that decide first.
const MEMBERS: [&str; 9] = [
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "t",
    "date",
    "datetime",
    "Timestamp",
    "@t",
];

fn of_json(text: &[u8], zone: Zone, now: Millis) -> Option<Millis> {
    let mut best = None;
    // A line that was cut says its time all the same, and the first of the members ends the search.
    drop(serde_json::Deserializer::from_slice(text).deserialize_map(Members(&mut best)));
    match best?.1 {
        Written::Text(text) => at_start(text.as_bytes(), zone, now).or_else(|| of_number(text.parse().ok()?)),
        Written::Number(number) => of_number(number),
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by its size: between 1980 and 2100, they cannot be mistaken.
fn of_number(number: f64) -> Option<Millis> {
    const FIRST: f64 = 315_532_800.0;
    const LAST: f64 = 4_102_444_800.0;
    let units = [1.0, 1e3, 1e6, 1e9];
    let unit = units
        .into_iter()
        .find(|unit| (FIRST * unit..LAST * unit).contains(&number))?;
    #[allow(clippy::cast_possible_truncation, reason = "it is below 2^43")]
    Some((number / unit * SECOND as f64).round() as Millis)
}

enum Written {
    Text(String),
    Number(f64),
}

/// Finds the member that decides, with its rank.
struct Members<'b>(&'b mut Option<(usize, Written)>);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let rank = MEMBERS.iter().position(|known| *known == name);
            match rank.filter(|rank| self.0.as_ref().is_none_or(|(best, _)| rank < best)) {
                Some(rank) => {
                    if let Some(written) = written(&map.next_value()?) {
                        *self.0 = Some((rank, written));
                        if rank == 0 {
                            return Ok(());
                        }
                    }
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// `{"$date": …}` is how MongoDB writes it.
fn written(value: &serde_json::Value) -> Option<Written> {
    match value {
        serde_json::Value::String(text) => Some(Written::Text(text.clone())),
        serde_json::Value::Number(number) => number.as_f64().map(Written::Number),
        serde_json::Value::Object(members) => written(members.get("$date")?),
        _ => None,
    }
}

/// The name of a member, without a copy where it has no escapes.
#[derive(Deserialize)]
struct Name<'n>(#[serde(borrow)] std::borrow::Cow<'n, str>);

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use pod_contract::config::Setting as _;
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-26T10:00:00.123Z.
    const THEN: Millis = 1_795_687_200_123;

    fn of(line: &str) -> Option<Millis> {
        of_line(line.as_bytes(), Zone::default(), THEN + 3_600_000)
    }

    #[test]
    fn the_usual_forms_are_understood() {
        for line in [
            "2026-11-26T10:00:00.123Z INFO started",
            "2026-11-26T10:00:00.123456789Z",
            "2026-11-26T12:00:00.123+02:00",
            "2026-11-26T12:00:00.123+0200 x",
            "2026-11-26T04:30:00.123-05:30",
            "2026-11-26 10:00:00,123 - root - INFO",
            "2026-11-26 10:00:00,123 -1 is the answer",
            "2026-11-26 10:00:00.123 UTC [1] LOG:  ready",
            "2026-11-26 12:00:00.123 +0200",
            "  [2026-11-26 10:00:00,123] INFO Kafka",
            "2026/11/26 10:00:00.123 [error] nginx",
            "26-Nov-2026 10:00:00.123 INFO [main] org.apache.catalina",
            "I, [2026-11-26T10:00:00.123456 #1]  INFO -- : Ruby",
            "[Thu Nov 26 10:00:00.123456 2026] [mpm_event:notice] Apache",
            "I1126 10:00:00.123456       1 main.go:1] klog",
            "2026-11-26  10:00:00.123 MariaDB",
            "2026-11-26 12:00:00.123 UTC+02:00 Python",
            "2026-11-26 10:00:00.123 -12 degrees",
            "[1] 2026 [2026-11-26 10:00:00.123] after others",
            "runtime=5 time=2026-11-26T10:00:00.123Z",
            "time=\"2026-11-26T10:00:00.123Z\" level=info",
            "level=info ts=2026-11-26T10:00:00.123Z msg=x",
            r#"{"a":{"time":1},"time":"2026-11-26T10:00:00.123Z"}"#,
            r#"{"ts":1795687200.123,"msg":"zap"}"#,
            r#"{"time":1795687200123,"level":30,"msg":"pino"}"#,
            r#"{"t":{"$date":"2026-11-26T12:00:00.123+02:00"},"s":"I"}"#,
            r#"{"ts":5,"msg":"x","@timestamp":"2026-11-26T10:00:00.123Z"}"#,
            r#"{"timestamp":"1795687200123000"}"#,
            r#"{"time":"2026-11-26T10:00:00.123Z","msg":"cut he"#,
        ] {
            assert_eq!(of(line), Some(THEN), "{line}");
        }
        for line in [
            "192.0.2.1 - - [26/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
            "Nov 26 10:00:00 host app[1]: syslog",
            "Nov 26 10:00:00 2001:db8::1 app: syslog by way of a relay",
            "Nov 26, 2026 10:00:00 AM org.example.Main run",
            "26 Nov 2026 10:00:00 redis",
        ] {
            assert_eq!(of(line), Some(THEN - 123), "{line}");
        }
        assert_eq!(of("Nov 26, 2026 12:00:00 AM x"), Some(THEN - 123 - 10 * 3_600_000));
        assert_eq!(of("Nov 26, 2026 10:00:00 PM x"), Some(THEN - 123 + 12 * 3_600_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in [
            "",
            "{",
            "{}",
            "plain",
            "\tat org.example.Main.run(Main.java:1)",
            "2026-13-26T10:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-11-26T24:00:00Z",
            "2026-11-26",
            "9999-12-31T23:59:59-14:00",
            "2026-11-27T11:00:01Z too far ahead",
            "1969-12-31T23:59:59Z",
            "2026-11/26 10:00:00",
            "12345 bytes",
            "Info 12",
            "I1126",
            "attempts=2026-11-26T10:00:00Z",
            r#"{"time":"noon"}"#,
            r#"{"time":12}"#,
            r#"{"time":"2026-11-26T10:00:"#,
            r#"["2026"]"#,
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_zone_is_for_times_without_one_and_the_year_is_the_nearest() {
        let zone = |text: &str| Zone::parse(text).unwrap();
        let two = zone("+02:00");
        assert_eq!(of_line(b"2026-11-26 12:00:00.123", two, THEN), Some(THEN));
        assert_eq!(of_line(b"2026-11-26 10:00:00.123Z", two, THEN), Some(THEN));
        assert_eq!(zone("UTC"), zone("+00:00"));
        for bad in ["", "Berlin", "+2", "+15:00", "+02:60", "+02:00 x"] {
            Zone::parse(bad).unwrap_err();
        }
        assert!(begins_with_time(b"Feb 29 10:00:00 x") && begins_with_time(b"I0229 10:00:00.1 x"));
        assert!(!begins_with_time(b"{ indented") && begins_with_time(b"{\"a\":1}"));
        let new_year = 1_798_761_600_000;
        assert_eq!(
            of_line(b"Dec 31 23:59:59 x", two, new_year + 1000),
            Some(new_year - 1000 - 7_200_000)
        );
        assert_eq!(
            of_line(b"Jan  1 00:00:01 x", Zone::default(), new_year - 1000),
            Some(new_year + 1000)
        );
    }

    proptest! {
        #[test]
        fn what_others_write_is_read(millis in 0u64..1_795_000_000_000) {
            let written = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string();
            prop_assert_eq!(of(&written), Some(millis.cast_signed()));
        }

        #[test]
        fn whatever_a_line_is_it_is_read(line in prop::collection::vec(any::<u8>(), 0..80), begins in 0usize..4) {
            let start: &[u8] = [b"".as_slice(), b"2026-11-26T10:", b"{\"time\":", b"Nov "][begins];
            of_line(&[start, &line].concat(), Zone::default(), THEN);
        }
    }
}
