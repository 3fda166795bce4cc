//! Who we are to a server, from secrets that are no flags.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use pod_contract::config::Setting;
use pod_contract::start::exit::{Failure, USAGE};

use super::WebUrl;

/// A file with a secret is small.
const MAX_BYTES: usize = 64 << 10;

/// Where a secret is, never the secret itself: flags and variables show in a pod spec and in process lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// The secret, without the line break that editors put behind it.
    pub(crate) fn read(&self) -> Result<String, Failure> {
        let text = match self {
            Self::Env(name) => std::env::var(name)
                .map_err(|e| Failure::new(USAGE, format!("the secret in the variable {name} cannot be used: {e}")))?,
            Self::File(path) => read(path)?,
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

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // The text is not repeated in the error: it may be the secret.
            _ => Err("it has neither of these forms".into()),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
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

/// The credentials of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) bearer: Option<Secret>,
    pub(crate) netrc: Option<PathBuf>,
}

impl Credentials {
    /// The `Authorization` for the origin that the user named.
    pub(crate) fn own(&self) -> Result<Option<String>, Failure> {
        if let Some(token) = &self.bearer {
            return Ok(Some(format!("Bearer {}", token.read()?)));
        }
        Ok(self.basic()?.map(|(user, password)| basic(&user, &password)))
    }

    /// User and password, as asked for.
    pub(crate) fn basic(&self) -> Result<Option<(String, String)>, Failure> {
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => Ok(Some((user.clone(), password.read()?))),
            _ => Ok(None),
        }
    }

    /// The `Authorization` for any origin, from the netrc file.
    /// One that was reached by a redirect gets only what names it, not the default.
    pub(crate) fn of_netrc(&self, url: &WebUrl, named_only: bool) -> Result<Option<String>, Failure> {
        let Some(path) = &self.netrc else { return Ok(None) };
        Ok(netrc(&read(path)?, url.host(), named_only).map(|(user, password)| basic(&user, &password)))
    }
}

/// RFC 7617.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let joined = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(joined))
}

/// The login of `host`, or the default one. Source: the file format of ftp(1), as curl reads it; macros are passed over.
fn netrc(text: &str, host: &str, named_only: bool) -> Option<(String, String)> {
    let mut words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_ascii_whitespace);
    let mut found = (String::new(), String::new());
    let mut inside = false;
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if inside => break,
            "machine" => inside = words.next().is_some_and(|name| name.eq_ignore_ascii_case(host)),
            "default" => inside = !named_only,
            "login" => {
                let login = words.next()?;
                if inside {
                    found.0 = login.to_owned();
                }
            }
            "password" => {
                let password = words.next()?;
                if inside {
                    found.1 = password.to_owned();
                }
            }
            "account" => drop(words.next()),
            _ => {}
        }
    }
    (inside || !found.0.is_empty())
        .then_some(found)
        .filter(|(login, _)| !login.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netrc_has_machines_and_a_default() {
        let text = "# comment\nmachine a.example login alice password s3\nmachine b.example\n  login bob\n  password p\ndefault login any password x\n";
        let of = |host| netrc(text, host, false).map(|(user, password)| format!("{user}:{password}"));
        assert_eq!(of("a.example").as_deref(), Some("alice:s3"));
        assert_eq!(of("B.example").as_deref(), Some("bob:p"));
        assert_eq!(of("c.example").as_deref(), Some("any:x"));
        assert_eq!(netrc("machine a login x password y", "b", false), None);
        assert_eq!(netrc("machine a", "a", false), None);
        assert_eq!(netrc(text, "c.example", true), None);
        assert!(netrc(text, "a.example", true).is_some());
    }

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
