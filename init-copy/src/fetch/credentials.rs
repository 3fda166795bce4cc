//! Who we are to a server, from secrets that are no flags.

use std::path::PathBuf;

use pod_contract::config::read_secret_file;
use pod_contract::net::login::Login;
pub(crate) use pod_contract::net::login::basic;
use pod_contract::start::exit::Failure;

use super::WebUrl;

/// The credentials of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) login: Option<Login>,
    pub(crate) netrc: Option<PathBuf>,
}

impl Credentials {
    /// The `Authorization` for the origin that the user named.
    pub(crate) fn own(&self) -> Result<Option<String>, Failure> {
        self.login.as_ref().map(Login::authorization).transpose()
    }

    /// User and password, as asked for.
    pub(crate) fn basic(&self) -> Result<Option<(String, String)>, Failure> {
        match &self.login {
            Some(Login::Basic { username, password }) => Ok(Some((username.clone(), password.read()?))),
            _ => Ok(None),
        }
    }

    /// The `Authorization` for any origin, from the netrc file.
    /// One that was reached by a redirect gets only what names it, not the default.
    pub(crate) fn of_netrc(&self, url: &WebUrl, named_only: bool) -> Result<Option<String>, Failure> {
        let Some(path) = &self.netrc else { return Ok(None) };
        Ok(netrc(&read_secret_file(path)?, url.host(), named_only).map(|(user, password)| basic(&user, &password)))
    }
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
}
