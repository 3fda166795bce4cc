//! The name of an index, also one for each day or hour.

use super::dated::Dated;
use crate::parse::{HOUR, Millis};

/// A name with `%Y`, `%m`, `%d` and `%H` in it, or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    name: Dated,
}

/// The longest name, bytes.
const LONGEST: usize = 255;

impl Index {
    /// Checks the rules of index names that show without asking; Elasticsearch knows the rest.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let index = Self { name: Dated::new(text) };
        let name = index.at(0);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.+".contains(c);
        if name.is_empty()
            || name.len() > LONGEST
            || !name.chars().all(allowed)
            || name.starts_with(['-', '_', '+', '.'])
        {
            return Err(format!(
                "{text:?} is no index name: lower case letters, digits, and - _ . + after the first, with %Y %m %d %H for the time"
            ));
        }
        Ok(index)
    }

    pub(crate) fn is_dated(&self) -> bool {
        self.name.is_dated()
    }

    /// As it is for a record of this time.
    pub(crate) fn at(&self, time: Millis) -> String {
        self.name.at(time)
    }
}

/// The names of one request: most of its records have the same.
#[derive(Debug)]
pub(super) struct Names<'i> {
    index: &'i Index,
    hour: Option<Millis>,
    name: String,
}

impl<'i> Names<'i> {
    pub(super) fn new(index: &'i Index) -> Self {
        Self {
            index,
            hour: None,
            name: String::new(),
        }
    }

    pub(super) fn at(&mut self, time: Millis) -> &str {
        let hour = time.div_euclid(HOUR);
        if self.hour != Some(hour) {
            (self.hour, self.name) = (Some(hour), self.index.at(time));
        }
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_time_of_the_record() {
        let index = Index::parse("app-%Y.%m.%d-%H").unwrap();
        let mut names = Names::new(&index);
        for (time, name) in [
            (0, "app-1970.01.01-00"),
            (HOUR - 1, "app-1970.01.01-00"),
            (HOUR, "app-1970.01.01-01"),
            (-1, "app-1969.12.31-23"),
            (1_795_687_200_123, "app-2026.11.26-10"),
        ] {
            assert_eq!(names.at(time), name);
        }
        assert!(index.is_dated() && !Index::parse("app").unwrap().is_dated());
        for bad in ["", "App", "_app", "app%", "app-%y", "app/x", &"a".repeat(256)] {
            assert!(Index::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Index::parse(&"a".repeat(255)).is_ok());
    }
}
