//! What was typed on the command line or set in variables.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Origin;

/// Parsed flags, and the variables that stand for those which were not given.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub(super) matches: &'a ArgMatches,
    /// Of the variables.
    pub(super) prefix: &'a str,
}

impl Typed<'_> {
    pub(super) fn get(self, name: &str) -> Option<Vec<(Origin, String)>> {
        let values = self.matches.try_get_many::<String>(name).ok()??;
        let origin = match self.matches.value_source(name)? {
            ValueSource::EnvVariable => Origin::Env(format!("{}{}", self.prefix, variable(name))),
            // A positional argument has the name that its usage shows, in capitals.
            _ if name.starts_with(|c: char| c.is_ascii_uppercase()) => Origin::Flag(name.to_owned()),
            _ => Origin::Flag(format!("--{name}")),
        };
        Some(values.map(|text| (origin.clone(), text.clone())).collect())
    }

    /// Is the flag without a value (clap's `SetTrue`) there?
    pub(super) fn is_set(self, name: &str) -> bool {
        let found = self.matches.try_get_one::<bool>(name).ok().flatten();
        found.copied().unwrap_or(false)
    }
}

/// `flush-interval` as the end of a variable's name: `FLUSH_INTERVAL`.
pub(crate) fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}
