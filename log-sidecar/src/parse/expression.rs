//! A regular expression as typed: between slashes.

use pod_contract::config::Setting;
use regex_lite::Regex;

#[derive(Debug, Clone)]
pub(crate) struct Expression(pub(crate) Regex);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Setting for Expression {
    const FORM: &'static str = "a /REGEX/";

    fn parse(text: &str) -> Result<Self, String> {
        let pattern = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
        match pattern {
            Some(pattern) if !pattern.is_empty() => Regex::new(pattern).map(Self).map_err(|e| e.to_string()),
            _ => Err("it does not stand between slashes".into()),
        }
    }
}

impl Expression {
    /// Bytes that are not UTF-8 are U+FFFD.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(&String::from_utf8_lossy(text))
    }
}
