//! Variables in text files: `${NAME}` and `${NAME:-default}`; `$${` is a plain `${`.
//!
//! A variable that is not set is an error with its place, since an empty value in a configuration file is found late.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{At as _, Error, SOURCE};
use crate::source::glob::{self, Glob};

/// A text file with more is not a configuration file; it is held in memory.
const MAX_BYTES: u64 = 4 << 20;

/// Which files get variables, and their values.
#[derive(Debug)]
pub(crate) struct Substitute {
    globs: Vec<Glob>,
    lookup: fn(&str) -> Option<OsString>,
}

/// A text with its variables put in.
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) digest: [u8; 32],
}

impl Substitute {
    pub(crate) fn from_environment(globs: Vec<Glob>) -> Self {
        Self {
            globs,
            lookup: |name| std::env::var_os(name),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// Is the file meant?
    pub(crate) fn wants(&self, target: &Path) -> bool {
        glob::any(&self.globs, target)
    }

    /// The file's text with its variables put in.
    pub(crate) fn render(&self, path: &Path) -> Result<Rendered, Error> {
        let mut bytes = Vec::new();
        let file = File::open(path).at("read", path)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).at("read", path)?;
        let refuse = |why: String| {
            let remedy = "choose the files more narrowly with --substitute";
            Err(Error::new(
                SOURCE,
                format!("cannot put variables into {}: {why}", path.display()),
                remedy,
            ))
        };
        if bytes.len() as u64 > MAX_BYTES {
            return refuse(format!("it has more than {MAX_BYTES} bytes"));
        }
        if bytes.contains(&0) {
            return refuse("it is a binary file".into());
        }
        let Ok(template) = String::from_utf8(bytes) else {
            return refuse("it is not UTF-8".into());
        };
        let text = render(&template, self.lookup).map_err(|mistakes| {
            let places: Vec<_> = mistakes.iter().map(|m| format!("\n  {}:{m}", path.display())).collect();
            Error::new(
                SOURCE,
                format!("cannot put variables into {}:{}", path.display(), places.concat()),
                "set the variable in the container's env, or give a default: ${NAME:-default}",
            )
        })?;
        let digest = Sha256::digest(text.as_bytes()).into();
        Ok(Rendered { text, digest })
    }
}

/// All variables put in, or every mistake as `line:column: what`.
fn render(template: &str, lookup: impl Fn(&str) -> Option<OsString>) -> Result<String, Vec<String>> {
    let mut text = String::with_capacity(template.len());
    let mut mistakes = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        let place = place(template, template.len() - rest.len() + at);
        if rest[..at].ends_with('$') {
            text += &rest[..at];
            text += "{";
            rest = &rest[at + 2..];
            continue;
        }
        text += &rest[..at];
        rest = &rest[at + 2..];
        let Some(end) = rest.find(['}', '\n']).filter(|&end| rest.as_bytes()[end] == b'}') else {
            mistakes.push(format!("{place}: ${{ without a closing brace"));
            continue;
        };
        let (expression, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        match value(expression, &lookup) {
            Ok(value) => text += &value,
            Err(why) => mistakes.push(format!("{place}: {why}")),
        }
    }
    text += rest;
    if mistakes.is_empty() { Ok(text) } else { Err(mistakes) }
}

fn value(expression: &str, lookup: impl Fn(&str) -> Option<OsString>) -> Result<String, String> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    if name.is_empty() || !is_name(name) {
        return Err(format!("{name:?} is not the name of a variable"));
    }
    match (lookup(name), default) {
        (Some(value), None) => value
            .into_string()
            .map_err(|_| format!("the value of {name} is not UTF-8")),
        // As in a shell: `:-` also stands for an empty value.
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), Some(_)) => value
            .into_string()
            .map_err(|_| format!("the value of {name} is not UTF-8")),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the variable {name} is not set")),
    }
}

/// `line:column`, from 1, the column in characters.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<OsString> {
        match name {
            "HOST" => Some("db.example".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        }
    }

    #[test]
    fn values_and_defaults() {
        for (template, text) in [
            ("url=${HOST}:5432", "url=db.example:5432"),
            ("${PORT:-5432}", "5432"),
            ("${HOST:-x}", "db.example"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("$HOST $ {HOST} $${HOST}", "$HOST $ {HOST} ${HOST}"),
            ("${PORT:-a:-b}", "a:-b"),
            ("", ""),
        ] {
            assert_eq!(render(template, lookup), Ok(text.to_owned()), "{template:?}");
        }
    }

    #[test]
    fn every_mistake_has_its_place() {
        let template = "a: ${HOST}\n  bé: ${UNSET}\n${1x} ${\n${}";
        assert_eq!(
            render(template, lookup),
            Err(vec![
                "2:7: the variable UNSET is not set".into(),
                "3:1: \"1x\" is not the name of a variable".into(),
                "3:7: ${ without a closing brace".into(),
                "4:1: \"\" is not the name of a variable".into(),
            ])
        );
    }

    #[test]
    fn files_that_are_no_text_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let substitute = Substitute {
            globs: Vec::new(),
            lookup,
        };
        for (content, words) in [
            (b"a\0b".to_vec(), "binary"),
            (vec![0xff, b'a'], "UTF-8"),
            (vec![b'a'; MAX_BYTES as usize + 1], "more than"),
            (b"\n ${UNSET}".to_vec(), "file:2:2: the variable UNSET"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = substitute.render(&path).err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
        for length in [MAX_BYTES as usize - 1, MAX_BYTES as usize] {
            std::fs::write(&path, vec![b'a'; length]).unwrap();
            assert_eq!(substitute.render(&path).unwrap().text.len(), length);
        }
    }

    proptest! {
        #[test]
        fn text_without_variables_stays(text in "[^$]*") {
            prop_assert_eq!(render(&text, lookup), Ok(text));
        }
    }
}
