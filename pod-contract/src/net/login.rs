//! Who we are to a server, from secrets that are no flags: the `Authorization` of a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Secret, Settings};
use crate::start::exit::Failure;

/// Where it is that a server knows us by; the secrets are read anew each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// RFC 7617.
    Basic {
        /// No secret.
        username: String,
        /// Where the password is.
        password: Secret,
    },
    /// A token that is sent as it is, such as that of RFC 6750.
    Token {
        /// Its word in the field, such as `Bearer`.
        scheme: &'static str,
        /// Where it is.
        token: Secret,
    },
}

impl Login {
    /// Reads the settings `username` and `password`, and those of `tokens`, each with its scheme; `None` after a mistake was noted. At
    /// most one way is given.
    pub fn prove(settings: &mut Settings<'_>, tokens: &[(&str, &'static str)]) -> Option<Option<Self>> {
        let username = settings.optional::<String>("username");
        let password = settings.optional::<Secret>("password");
        let mut found: Vec<_> = Vec::new();
        for &(name, scheme) in tokens {
            found.push((name, settings.optional::<Secret>(name).map(|token| (scheme, token))));
        }
        let mut given = Vec::new();
        match (username?, password?) {
            (Some(username), Some(password)) => given.push(("username", Self::Basic { username, password })),
            (None, None) => {}
            _ => {
                let why = "username and password are given together";
                return settings.refuse_together(&["username", "password"], why);
            }
        }
        for (name, token) in found {
            if let (scheme, Some(token)) = token? {
                given.push((name, Self::Token { scheme, token }));
            }
        }
        if let [(first, _), (second, _), ..] = given.as_slice() {
            let why = format!("give one of {first} and {second}: a server knows us by one");
            return settings.refuse_together(&[*first, *second], why);
        }
        Some(given.pop().map(|(_, login)| login))
    }

    /// The field's value as it is now.
    ///
    /// # Errors
    /// When a secret cannot be read.
    pub fn authorization(&self) -> Result<String, Failure> {
        match self {
            Self::Basic { username, password } => Ok(basic(username, &password.read()?)),
            Self::Token { scheme, token } => {
                let token = token.read()?;
                // Elasticsearch shows a key as id and key, and wants them like this.
                let token = match *scheme == "ApiKey" && token.contains(':') {
                    true => STANDARD.encode(token),
                    false => token,
                };
                Ok(format!("{scheme} {token}"))
            }
        }
    }
}

/// RFC 7617.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_when_it_is_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = |scheme| Login::Token {
            scheme,
            token: Secret::File(file.path().to_owned()),
        };
        let say = |login: &Login, secret: &str| {
            std::fs::write(file.path(), secret).unwrap();
            login.authorization().unwrap()
        };
        assert_eq!(say(&token("Bearer"), "a.b:c\n"), "Bearer a.b:c");
        assert_eq!(say(&token("ApiKey"), "aWQ6a2V5"), "ApiKey aWQ6a2V5");
        assert_eq!(say(&token("ApiKey"), "id:key"), "ApiKey aWQ6a2V5");
        let password = Secret::File(file.path().to_owned());
        let login = Login::Basic {
            username: "ship".into(),
            password,
        };
        assert_eq!(say(&login, "p:w"), "Basic c2hpcDpwOnc=");
        std::fs::write(file.path(), "").unwrap();
        login.authorization().unwrap_err();
    }
}
