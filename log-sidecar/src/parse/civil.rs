//! Days of the proleptic Gregorian calendar.
//!
//! Algorithms: <https://howardhinnant.github.io/date_algorithms.html>, `days_from_civil` and `civil_from_days`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub(crate) type Millis = i64;

/// Nanoseconds since 1970, UTC.
pub(crate) type Nanos = u64;

pub(crate) const NANOS_OF_SECOND: Nanos = 1_000_000_000;
pub(crate) const NANOS_OF_MILLI: Nanos = 1_000_000;

pub(crate) const SECOND: Millis = 1000;
pub(crate) const MINUTE: Millis = 60 * SECOND;
pub(crate) const HOUR: Millis = 60 * MINUTE;
pub(crate) const DAY: Millis = 24 * HOUR;
const DAYS_OF_ERA: i64 = 146_097;
/// From 0000-03-01, where years begin here, to 1970.
const SHIFT: i64 = 719_468;

pub(crate) fn millis(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

pub(crate) fn nanos(time: SystemTime) -> Nanos {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}

/// 1970 for what is before that.
pub(crate) fn system_time(time: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time.max(0).cast_unsigned())
}

/// A day as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

impl Date {
    /// The day of a moment, UTC.
    pub(crate) fn of(time: Millis) -> Self {
        let days = time.div_euclid(DAY) + SHIFT;
        let (era, day_of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
        }
    }

    /// Its first moment, UTC; `None` if there is no such day.
    pub(crate) fn start(self) -> Option<Millis> {
        let Self { year, month, day } = self;
        let shifted = if month > 2 { month - 3 } else { month + 9 };
        let year = year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * shifted + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let start = (era * DAYS_OF_ERA + day_of_era - SHIFT) * DAY;
        ((1..=12).contains(&month) && Self::of(start) == self).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_that_are_not_are_refused() {
        for (year, month, day, is) in [
            (2024, 2, 29, true),
            (2026, 2, 29, false),
            (1900, 2, 29, false),
            (2000, 2, 29, true),
            (2026, 4, 31, false),
            (2026, 12, 31, true),
            (2026, 13, 1, false),
            (2026, 0, 1, false),
            (2026, 1, 0, false),
        ] {
            assert_eq!(Date { year, month, day }.start().is_some(), is, "{year}-{month}-{day}");
        }
    }

    proptest! {
        #[test]
        fn a_day_is_the_one_that_others_say(seconds in 0u64..253_402_300_799) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let millis = seconds.cast_signed() * SECOND;
            let Date { year, month, day } = Date::of(millis);
            let other = humantime::format_rfc3339_seconds(time).to_string();
            prop_assert_eq!(format!("{year:04}-{month:02}-{day:02}"), &other[..10]);
            prop_assert_eq!(Date { year, month, day }.start(), Some(millis - millis.rem_euclid(DAY)));
        }
    }
}
