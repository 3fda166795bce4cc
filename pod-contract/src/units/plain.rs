//! What has no unit: paths, texts, switches, counts; and `off`.

use std::path::PathBuf;

use crate::config::Setting;

impl Setting for PathBuf {
    const FORM: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("it is empty".into())
        } else {
            Ok(Self::from(text))
        }
    }
}

impl Setting for String {
    const FORM: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Setting for bool {
    const FORM: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "it is neither".to_owned())
    }
}

impl Setting for u32 {
    const FORM: &'static str = "a whole number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: std::num::ParseIntError| e.to_string())
    }
}

/// Something that can be switched off with the word `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T: Setting> Setting for OrOff<T> {
    const FORM: &'static str = T::FORM;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            Ok(Self(None))
        } else {
            T::parse(text).map(|value| Self(Some(value)))
        }
    }
}
