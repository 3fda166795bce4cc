//! A few of many lines that are alike.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use pod_contract::config::Setting;

use crate::parse::Expression;

/// Of the lines that match, one in so many is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    one_in: u64,
    pub(super) of: Expression,
}

impl Setting for Sample {
    const FORM: &'static str = "N:/REGEX/, such as 10:/DEBUG/ for one in 10 of the lines that match";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, expression) = text.split_once(':').ok_or("there is no colon")?;
        let one_in = number.parse().ok().filter(|number| *number > 1);
        Ok(Self {
            one_in: one_in.ok_or("it does not begin with a number above 1")?,
            of: Expression::parse(expression)?,
        })
    }
}

impl Sample {
    /// The same lines are sent whenever they are read, so that a kill changes nothing.
    pub(super) fn sends(&self, file: &str, offset: u64) -> bool {
        let mut hasher = DefaultHasher::new();
        (file, offset).hash(&mut hasher);
        hasher.finish().is_multiple_of(self.one_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_in_so_many_is_sent_and_always_the_same() {
        let sample = Sample::parse("10:/a:b/").unwrap();
        let sent = || {
            (0..10_000)
                .filter(|offset| sample.sends("f", *offset))
                .collect::<Vec<u64>>()
        };
        let count = sent().len();
        assert!((900..1100).contains(&count), "{count}");
        assert_eq!(sent(), sent());
        for bad in ["", "10", "/a/", "1:/a/", "x:/a/", "10:a", "10:/(/"] {
            assert!(Sample::parse(bad).is_err(), "{bad}");
        }
    }
}
