//! `10s`, `2m`.

use std::time::Duration;

use crate::config::Setting;

impl Setting for Duration {
    const FORM: &'static str = "a duration with a unit, such as 500ms, 10s or 2m";

    fn parse(text: &str) -> Result<Self, String> {
        const LONGEST: Duration = Duration::from_secs(86_400 * 365);
        let duration = humantime::parse_duration(text).map_err(|e| e.to_string())?;
        if duration > LONGEST {
            Err("it is longer than a year".into())
        } else {
            Ok(duration)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(Duration::parse("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["10", "", "ten seconds", "-1s", "10 parsecs", "366days"] {
            assert!(Duration::parse(bad).is_err(), "{bad:?}");
        }
    }
}
