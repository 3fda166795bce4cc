//! What has no unit: paths, texts, switches, counts; and `off`.

use std::path::PathBuf;

use crate::config::{Setting, Shape};

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
    const SHAPE: Shape = Shape::Scalar;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Setting for bool {
    const FORM: &'static str = "true or false";
    const SHAPE: Shape = Shape::Boolean;

    fn parse(text: &str) -> Result<Self, String> {
        // As YAML's core schema spells them.
        match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err("it is neither".to_owned()),
        }
    }
}

impl Setting for u32 {
    const FORM: &'static str = "a whole number";
    const SHAPE: Shape = Shape::Integer;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: std::num::ParseIntError| e.to_string())
    }
}

/// Something that can be switched off with the word `off`, which some readers of YAML take for `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T: Setting> Setting for OrOff<T> {
    const FORM: &'static str = T::FORM;
    const SHAPE: Shape = Shape::OrOff(&T::SHAPE);

    fn parse(text: &str) -> Result<Self, String> {
        if matches!(text, "off" | "false" | "False" | "FALSE") {
            Ok(Self(None))
        } else {
            T::parse(text).map(|value| Self(Some(value)))
        }
    }
}
