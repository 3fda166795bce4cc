//! Secrets, by where they are: what a flag or a variable holds shows in a pod spec and in process lists.

use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Setting;
use crate::start::exit::{Failure, USAGE};

/// A file with a secret is small.
const MAX_BYTES: usize = 64 << 10;

/// Where a secret is, never the secret itself: flags and variables show in a pod spec and in process lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In a variable of this process.
    Env(String),
    /// In a file, which is read anew each time: a mounted Secret changes.
    File(PathBuf),
}

impl Secret {
    /// The secret as it is now, without the line break that editors put behind it. Fails when it is empty, has several lines, or more
    /// than 64 KiB.
    pub fn read(&self) -> Result<String, Failure> {
        let text = match self {
            // The error of the standard library repeats what is not UTF-8.
            Self::Env(name) => std::env::var(name).map_err(|error| {
                let why = match error {
                    VarError::NotPresent => "it is not set",
                    VarError::NotUnicode(_) => "it is not UTF-8",
                };
                Failure::new(
                    USAGE,
                    format!("the secret in the variable {name} cannot be used: {why}"),
                )
            })?,
            Self::File(path) => read_secret_file(path)?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || text.contains(['\r', '\n', '\0']) {
            return Err(Failure::new(
                USAGE,
                format!("the secret in {self} is empty or has more than one line"),
            ));
        }
        Ok(text.to_owned())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Setting for Secret {
    const FORM: &'static str = "where the secret is: env:NAME or file:/path";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // The text is not repeated in the error: it may be the secret.
            _ => Err("it has neither of these forms".into()),
        }
    }
}

/// The text of a file that holds secrets, such as a netrc; it has a limit.
pub fn read_secret_file(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let fail = |why: String| Failure::new(USAGE, format!("cannot read the secret in {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|e| fail(e.to_string()))?;
    file.take(MAX_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|e| fail(e.to_string()))?;
    if text.len() > MAX_BYTES {
        return Err(fail(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_not_given() {
        assert_eq!(Secret::parse("env:TOKEN"), Ok(Secret::Env("TOKEN".into())));
        assert_eq!(Secret::parse("file:/run/x"), Ok(Secret::File("/run/x".into())));
        for bad in ["hunter2", "env:", "file:", "vault:x", ""] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            Secret::File(file.path().to_owned()).read()
        };
        assert_eq!(read("s3cret\r\n").unwrap(), "s3cret");
        for bad in ["", "\n", "a\nb"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        for (length, good) in [(MAX_BYTES - 1, true), (MAX_BYTES, true), (MAX_BYTES + 1, false)] {
            assert_eq!(read(&"x".repeat(length)).is_ok(), good);
        }
    }
}
