//! Words on the command line that would be taken for something else than they were meant to be. Pure.

use std::ffi::OsString;

use crate::config::Flag;

/// The first such word of `arguments`, told with what to write instead. The program, called `name`, has `flags` and `verbs`.
pub(super) fn find(name: &str, arguments: &[OsString], flags: &[Flag], verbs: &[&str]) -> Option<String> {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let has_verb = words.get(1).is_some_and(|word| verbs.contains(&word.as_ref()));
    let mut at = if has_verb { 2 } else { 1 };
    let mut is_first = !has_verb;
    while let Some(word) = words.get(at) {
        at += 1;
        // The rest are files; or what is asked for is no run at all.
        if matches!(word.as_ref(), "--" | "--help" | "-h" | "--version" | "-V") {
            return None;
        }
        let Some(flag) = word.strip_prefix("--") else {
            if word.starts_with('-') {
                continue;
            }
            if is_first && verbs.contains(&word.as_ref()) {
                return Some(format!(
                    "{word} is a subcommand and comes first: {name} {word} …; for a file of that name, write ./{word}"
                ));
            }
            is_first = false;
            continue;
        };
        let (flag, has_value) = flag.split_once('=').map_or((flag, false), |(flag, _)| (flag, true));
        let Some(known) = flags.iter().find(|known| known.name() == flag).filter(|_| !has_value) else {
            continue;
        };
        if !known.is_optional() {
            at += usize::from(known.takes_value());
            continue;
        }
        let next = words.get(at).map(AsRef::as_ref).unwrap_or_default();
        if known.value.is_some_and(|value| (value.accepts)(next)) {
            return Some(format!(
                "--{flag} takes its value after an equals sign: --{flag}={next}; for a file of that name, write ./{next}"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{list, optional, setting, switch};
    use crate::units::Bytes;

    fn found(line: &str) -> Option<String> {
        let flags = [
            setting::<String>("level", "L", ""),
            list::<String>("skip", "S", ""),
            switch("prune", ""),
            optional::<Bytes>("cap", "SIZE", "1MiB", ""),
        ];
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        find("x", &words, &flags, &["verify", "check"])
    }

    #[test]
    fn a_subcommand_comes_first() {
        for line in [
            "x --level warn verify a",
            "x --level=warn verify",
            "x --prune check a b",
            "x -a verify b",
        ] {
            assert!(found(line).is_some_and(|told| told.contains("comes first")), "{line}");
        }
        for line in [
            "x",
            "x verify a",
            "x verify check a",
            "x a verify",
            "x --level verify a b",
            "x --skip check a b",
            "x -- verify a",
            "x ./verify a",
            "x --bogus a verify",
            "x --help verify",
            "x --prune --version check",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn a_value_that_may_be_left_out_comes_after_an_equals_sign() {
        for (line, instead) in [
            ("x --prune true a b", "--prune=true"),
            ("x --cap 5MiB a", "--cap=5MiB"),
            ("x verify --cap 5MiB a", "--cap=5MiB"),
        ] {
            assert!(found(line).is_some_and(|told| told.contains(instead)), "{line}");
        }
        for line in [
            "x --prune a b",
            "x --prune=true a",
            "x --cap a b",
            "x --cap",
            "x --prune -- true",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
