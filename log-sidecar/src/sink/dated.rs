//! Names with the time in them, in UTC.

use crate::parse::{Date, HOUR, Millis};

/// A name with `%Y`, `%m`, `%d` and `%H` in it, or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated {
    pattern: String,
}

/// S3 takes 1,024 bytes, and the name of the object follows.
const LONGEST_FOLDER: usize = 900;

impl Dated {
    pub(super) fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
        }
    }

    /// What the keys of objects begin with: empty, or with a slash at its end.
    pub(super) fn folder(text: &str) -> Result<Self, String> {
        let name = text.trim_matches('/');
        let dated = Self::new(&if name.is_empty() {
            String::new()
        } else {
            format!("{name}/")
        });
        let example = dated.at(0);
        if example.len() > LONGEST_FOLDER || example.contains('%') || example.contains(char::is_control) {
            return Err(format!(
                "{text:?} is no folder: at most {LONGEST_FOLDER} bytes, with %Y %m %d %H for the time"
            ));
        }
        Ok(dated)
    }

    pub(crate) fn is_dated(&self) -> bool {
        self.pattern.contains('%')
    }

    pub(crate) fn at(&self, time: Millis) -> String {
        let Date { year, month, day } = Date::of(time);
        let hour = time.div_euclid(HOUR).rem_euclid(24);
        let parts = [("%Y", year, 4), ("%m", month, 2), ("%d", day, 2), ("%H", hour, 2)];
        parts.iter().fold(self.pattern.clone(), |name, (part, value, width)| {
            name.replace(part, &format!("{value:0width$}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_the_time_and_a_slash_at_their_end() {
        for (text, at) in [
            ("", ""),
            ("/", ""),
            ("logs", "logs/"),
            ("a b/%Y/%m/%d/%H/", "a b/2026/11/26/10/"),
        ] {
            assert_eq!(Dated::folder(text).unwrap().at(1_795_687_200_123), at);
        }
        for bad in ["%", "logs/%y", "a\nb", &"a".repeat(900)] {
            assert!(Dated::folder(bad).is_err(), "{bad:?}");
        }
        assert!(Dated::folder(&"a".repeat(899)).is_ok());
    }
}
