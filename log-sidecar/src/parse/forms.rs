//! The forms in which programs write the time.

use pod_contract::config::Setting;

use super::civil::{DAY, Date, HOUR, MINUTE, Millis, SECOND};

/// East of UTC, for times that do not say where they are from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Zone(Millis);

impl Setting for Zone {
    const FORM: &'static str = "UTC, or an offset such as +02:00";

    fn parse(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor(text.as_bytes());
        match cursor.zone() {
            Some(zone) if cursor.0.is_empty() => Ok(zone),
            _ => Err("it is neither UTC nor an offset such as +02:00".into()),
        }
    }
}

/// What is left to read.
#[derive(Debug, Clone, Copy)]
struct Cursor<'t>(&'t [u8]);

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
/// No zone is farther from UTC.
const FARTHEST: Millis = 14 * HOUR;

/// The time that `text` begins with. `zone` is for those without one, and `now` for those without a year.
pub(super) fn at_start(text: &[u8], zone: Zone, now: Millis) -> Option<Millis> {
    let cursor = Cursor(text);
    match text.first()? {
        b'0'..=b'9' => cursor.year_first(zone).or_else(|| cursor.day_first(zone)),
        b'I' | b'W' | b'E' | b'F' if text.get(1).is_some_and(u8::is_ascii_digit) => cursor.klog(zone, now),
        b'A'..=b'Z' => cursor.month_first(zone, now),
        _ => None,
    }
}

impl Cursor<'_> {
    /// ISO 8601 and RFC 3339, also with a blank for the T and a comma for the point, and `2026/11/26 10:00:00` of nginx and Go.
    fn year_first(mut self, zone: Zone) -> Option<Millis> {
        let year = self.digits(4)?;
        let separator = self.one_of(b"-/.")?;
        let month = self.digits(2)?;
        self.one_of(&[separator])?;
        let day = self.digits(2)?;
        self.one_of(b"T t_")?;
        // MariaDB pads the hour.
        self.one_of(b" ");
        let time = self.time_of_day()?;
        Some(Date { year, month, day }.start()? + time - self.zone_after().unwrap_or(zone).0)
    }

    /// `26/Nov/2026:10:00:00 +0000` of web servers, `26-Nov-2026 10:00:00.123` of Tomcat, `26 Nov 2026 10:00:00`.
    fn day_first(mut self, zone: Zone) -> Option<Millis> {
        let day = self.number(2)?;
        self.one_of(b"/- ")?;
        let month = self.month()?;
        self.one_of(b"/- ")?;
        let year = self.digits(4)?;
        self.one_of(b": ")?;
        let time = self.time_of_day()?;
        Some(Date { year, month, day }.start()? + time - self.zone_after().unwrap_or(zone).0)
    }

    /// `Nov 26 10:00:00` of syslog, `Thu Nov 26 10:00:00.123456 2026` of Apache, `Nov 26, 2026 10:00:00 AM` of Java.
    fn month_first(mut self, zone: Zone, now: Millis) -> Option<Millis> {
        if WEEKDAYS.iter().any(|day| self.0.starts_with(*day)) {
            self.0 = &self.0[3..];
            self.one_of(b" ")?;
        }
        let month = self.month()?;
        self.one_of(b" ")?;
        while self.one_of(b" ").is_some() {}
        let day = self.number(2)?;
        if self.one_of(b",").is_some() {
            self.one_of(b" ")?;
            let year = self.digits(4)?;
            self.one_of(b" ")?;
            let time = self.time_of_day()?;
            let time = match self.0.get(..3) {
                Some(b" PM") if time < 12 * HOUR => time + 12 * HOUR,
                Some(b" AM") if time >= 12 * HOUR => time - 12 * HOUR,
                _ => time,
            };
            return Some(Date { year, month, day }.start()? + time - zone.0);
        }
        self.one_of(b" ")?;
        let time = self.time_of_day()?;
        let zone = self.zone_after().unwrap_or(zone);
        let mut rest = self;
        let year = rest.one_of(b" ").and_then(|_| rest.digits(4));
        let ends = rest
            .0
            .first()
            .is_none_or(|next| !next.is_ascii_alphanumeric() && *next != b':');
        let year = year.filter(|_| ends);
        match year {
            Some(year) => Some(Date { year, month, day }.start()? + time - zone.0),
            None => nearest(month, day, time - zone.0, now),
        }
    }

    /// `I1126 10:00:00.123456` of Kubernetes.
    fn klog(mut self, zone: Zone, now: Millis) -> Option<Millis> {
        self.0 = &self.0[1..];
        let (month, day) = (self.digits(2)?, self.digits(2)?);
        self.one_of(b" ")?;
        let time = self.time_of_day()?;
        nearest(month, day, time - zone.0, now)
    }

    /// `10:00:00`, with or without a fraction.
    fn time_of_day(&mut self) -> Option<Millis> {
        let hour = self.number(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        // 60 is a leap second.
        let second = self.digits(2)?;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut fraction = 0;
        let mut rest = *self;
        if rest.one_of(b".,").is_some() {
            let mut unit = SECOND;
            while let Some(digit) = rest.digits(1) {
                unit /= 10;
                fraction += digit * unit;
                *self = rest;
            }
        }
        Some(hour * HOUR + minute * MINUTE + second * SECOND + fraction)
    }

    /// A zone right after a time, or after a blank if it cannot be anything else.
    fn zone_after(&mut self) -> Option<Zone> {
        let mut rest = *self;
        let is_apart = rest.one_of(b" ").is_some();
        let (is_number, before) = (rest.0.first().is_some_and(|next| b"+-".contains(next)), rest.0.len());
        let zone = rest.zone()?;
        // Two digits after a blank may be anything.
        if is_apart && is_number && before - rest.0.len() < 5 {
            return None;
        }
        let is_whole = rest.0.first().is_none_or(|next| !next.is_ascii_alphanumeric());
        is_whole.then(|| {
            *self = rest;
            zone
        })
    }

    /// `Z`, `UTC`, `GMT`, `+02:00`, `+0200`, `+02`.
    fn zone(&mut self) -> Option<Zone> {
        for name in [b"UTC".as_slice(), b"GMT", b"Z", b"z"] {
            if let Some(rest) = self.0.strip_prefix(name) {
                self.0 = rest;
                if rest.first().is_some_and(|next| b"+-".contains(next)) {
                    break;
                }
                return Some(Zone(0));
            }
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        self.one_of(b":");
        let minutes = self.digits(2).unwrap_or_default();
        let offset = hours * HOUR + minutes * MINUTE;
        (offset <= FARTHEST && minutes < 60).then_some(Zone(sign * offset))
    }

    fn month(&mut self) -> Option<i64> {
        let index = MONTHS.iter().position(|name| self.0.starts_with(*name))?;
        self.0 = &self.0[3..];
        i64::try_from(index + 1).ok()
    }

    /// Exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self
            .0
            .get(..count)
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        self.0 = &self.0[count..];
        Some(
            digits
                .iter()
                .fold(0, |number, digit| number * 10 + i64::from(digit - b'0')),
        )
    }

    /// Up to so many digits, and one at least.
    fn number(&mut self, most: usize) -> Option<i64> {
        let count = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count == 0 { None } else { self.digits(count) }
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }
}

/// In the year in which it is nearest to `now`.
fn nearest(month: i64, day: i64, time: Millis, now: Millis) -> Option<Millis> {
    let year = Date::of(now).year;
    let of = |year| Some(Date { year, month, day }.start()? + time);
    let years = [year - 1, year, year + 1].into_iter().filter_map(of);
    years
        .min_by_key(|time| (time - now).abs())
        .filter(|time| (time - now).abs() < 366 * DAY)
}
