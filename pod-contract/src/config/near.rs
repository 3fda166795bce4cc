//! "Did you mean": only what is near enough to be a slip.

use strsim::damerau_levenshtein;

/// The name that `word` was meant to be, if one is near: a slip in three letters, at least one.
pub(crate) fn near<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = (word.chars().count() / 3).max(1);
    let slips = names.map(|name| (damerau_levenshtein(word, name), name));
    let (slips, name) = slips.min_by_key(|&(slips, _)| slips)?;
    (slips <= allowed).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_a_slip_away() {
        let names = ["include", "exclude", "to", "flush-interval", "state"];
        for (word, meant) in [
            ("inlcude", Some("include")),
            ("flush_interval", Some("flush-interval")),
            ("sttae", Some("state")),
            ("ot", Some("to")),
            ("output", None),
            ("multiline", None),
            ("x", None),
        ] {
            assert_eq!(near(word, names.into_iter()), meant, "{word}");
        }
        assert_eq!(near("include", [].into_iter()), None);
    }
}
