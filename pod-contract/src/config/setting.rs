//! The types that a setting can have.

use super::flag::Shape;

/// A type that a setting can have.
pub trait Setting: Sized {
    /// The accepted form, for people: "a duration with a unit, such as 10s".
    const FORM: &'static str;
    /// The accepted form, for the JSON Schema of the file.
    const SHAPE: Shape = Shape::Text;
    /// Is what was typed not to be repeated, since it may be what must not be shown?
    const IS_SECRET: bool = false;

    /// Parses the text as typed; the error says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A setting that is one of a few words.
pub trait Word: Copy + 'static {
    /// The words, for people: "stat or digest".
    const FORM: &'static str;
    /// Each with what it means.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Word> Setting for T {
    const FORM: &'static str = <T as Word>::FORM;
    const SHAPE: Shape = Shape::Words(|| T::WORDS.iter().map(|(word, _)| *word).collect());

    fn parse(text: &str) -> Result<Self, String> {
        let found = T::WORDS.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| "it is none of these words".to_owned())
    }
}
