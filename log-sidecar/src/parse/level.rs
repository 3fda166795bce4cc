//! How serious a record is, as it says itself.

/// From the least on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Critical,
    Fatal,
}

/// What programs write for each, in lower case.
const WORDS: [(Level, &[&str]); 8] = [
    (Level::Trace, &["trace", "trc", "finest", "verbose", "silly"]),
    (Level::Debug, &["debug", "dbg", "finer", "fine", "config", "debu"]),
    (Level::Info, &["info", "inf", "information", "informational", "log"]),
    (Level::Notice, &["notice"]),
    (Level::Warn, &["warn", "warning", "wrn"]),
    (Level::Error, &["error", "err", "eror", "severe"]),
    (Level::Critical, &["critical", "crit", "alert"]),
    (Level::Fatal, &["fatal", "panic", "emerg", "emergency", "ftl"]),
];
const LONGEST: usize = 13;
/// Of these, the ones that stand in text for something else.
const UNCLEAR: [&str; 5] = ["config", "fine", "log", "verbose", "alert"];
/// In text without fields, the word stands within so many bytes, since what follows is what people write.
const WITHIN: usize = 96;

impl Level {
    /// As `log.level` has it.
    pub(crate) fn name(self) -> &'static str {
        WORDS[self as usize].1[0]
    }

    /// Of a word, in any case.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let word = word.trim();
        if word.len() > LONGEST {
            return None;
        }
        let is = |known: &&str| word.eq_ignore_ascii_case(known);
        WORDS
            .iter()
            .find(|(_, words)| words.iter().any(is))
            .map(|(level, _)| *level)
    }

    /// As pino and bunyan count: <https://getpino.io/#/docs/api?id=loggerlevel-string-gettersetter>.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        Some(match number {
            10 => Self::Trace,
            20 => Self::Debug,
            30 => Self::Info,
            40 => Self::Warn,
            50 => Self::Error,
            60 => Self::Fatal,
            _ => return None,
        })
    }

    /// Of a line of text: a word in capitals near its start, or one in brackets.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let mut near = text.len().min(WITHIN);
        while !text.is_char_boundary(near) {
            near -= 1;
        }
        let near = &text[..near];
        let mut words = near
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        words.find_map(|word| {
            let start = word.as_ptr().addr() - near.as_ptr().addr();
            let is_bracketed =
                near[..start].ends_with(['[', '<']) && near[start + word.len()..].starts_with([']', '>']);
            let is_loud = word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
            let is_plain = !UNCLEAR.iter().any(|unclear| word.eq_ignore_ascii_case(unclear));
            if (is_bracketed || is_loud) && is_plain {
                Self::of_word(word)
            } else {
                None
            }
        })
    }

    /// In OpenTelemetry: <https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>.
    pub(crate) fn severity_number(self) -> u64 {
        match self {
            Self::Trace => 1,
            Self::Debug => 5,
            Self::Info => 9,
            Self::Notice => 10,
            Self::Warn => 13,
            Self::Error => 17,
            Self::Critical => 18,
            Self::Fatal => 21,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_what_programs_write() {
        for (word, level) in [
            ("INFO", Some(Level::Info)),
            ("Warning", Some(Level::Warn)),
            ("err", Some(Level::Error)),
            ("SEVERE", Some(Level::Error)),
            ("happy", None),
        ] {
            assert_eq!(Level::of_word(word), level, "{word}");
        }
        for (line, level) in [
            ("2026-11-26 10:00:00,123 WARN  [main] c.e.App - slow", Some(Level::Warn)),
            (
                "2026/11/26 10:00:00 [error] 31#31: *1 open() failed",
                Some(Level::Error),
            ),
            ("an error of somebody, in words", None),
            ("ERRORS are none", None),
            ("26-Nov-2026 10:00:00.123 SEVERE [main] org.apache", Some(Level::Error)),
            ("é [info] ü", Some(Level::Info)),
            ("26 [config] ERROR cannot load", Some(Level::Error)),
            (&format!("{}ERROR", "x ".repeat(60)), None),
            ("", None),
        ] {
            assert_eq!(Level::of_text(line), level, "{line}");
        }
        for (index, (level, words)) in WORDS.iter().enumerate() {
            assert_eq!((*level as usize, level.name()), (index, words[0]));
            assert!(words.iter().all(|word| word.len() <= LONGEST));
        }
    }
}
