//! Credentials as `docker login`, `oras login` and `kubectl create secret docker-registry` store them.
//!
//! Sources: the docker CLI's `config.json`; containers-auth.json(5) for keys with a path; the Kubernetes page "Pull an Image from a
//! Private Registry" for keys with `*`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use pod_contract::start::exit::{Failure, USAGE};
use serde::Deserialize;

use super::Reference;
use super::manifest::or_default;
use crate::error::AUTH;

/// A configuration with more is none.
const MAX_BYTES: u64 = 4 << 20;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    #[serde(deserialize_with = "or_default")]
    auths: BTreeMap<String, Auth>,
    #[serde(deserialize_with = "or_default")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What to show a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Password(String, String),
    /// Is exchanged for a token, by OAuth2.
    IdentityToken(String),
}

/// The file with credentials, if there is one.
#[derive(Debug, Default)]
pub(crate) struct DockerConfig {
    file: File,
    path: PathBuf,
}

impl DockerConfig {
    /// Reads `path`, or the usual places.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let usual = [
            variable("REGISTRY_AUTH_FILE"),
            variable("DOCKER_CONFIG").map(|dir| dir.join("config.json")),
            variable("HOME").map(|dir| dir.join(".docker/config.json")),
            variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        ];
        let found = match path {
            Some(path) => Some(resolve(path)),
            None => usual.into_iter().flatten().find(|path| path.is_file()),
        };
        let Some(path) = found else { return Ok(Self::default()) };
        let fail = |why: String| {
            Failure::new(
                USAGE,
                format!("cannot use the registry credentials in {}: {why}", path.display()),
            )
        };
        let size = std::fs::metadata(&path).map_err(|e| fail(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(fail(format!("it has more than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read(&path).map_err(|e| fail(e.to_string()))?;
        // The parser's message has a place and no content.
        let file = serde_json::from_slice(&text)
            .map_err(|e| fail(format!("line {} column {}: {}", e.line(), e.column(), kind(&e))))?;
        Ok(Self { file, path })
    }

    /// What it has for the registry of `reference`.
    pub(crate) fn login(&self, reference: &Reference) -> Result<Option<Login>, Failure> {
        let named = |helper: &&String| !helper.is_empty();
        if let Some(helper) = self.file.cred_helpers.get(&reference.registry).filter(named) {
            return Err(self.refuse_helper(helper));
        }
        let best = self
            .file
            .auths
            .iter()
            .filter_map(|(key, auth)| Some((precision(key, reference)?, auth)))
            .max_by_key(|(precision, _)| *precision);
        let login = best.map(|(_, auth)| self.of(auth)).transpose()?.flatten();
        match (login, self.file.creds_store.as_ref().filter(named)) {
            // With a store, docker leaves an empty entry.
            (None, Some(helper)) => Err(self.refuse_helper(helper)),
            (login, _) => Ok(login),
        }
    }

    fn of(&self, auth: &Auth) -> Result<Option<Login>, Failure> {
        if let Some(token) = auth.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Login::IdentityToken(token.clone())));
        }
        if let Some(encoded) = auth.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let broken = || {
                Failure::new(
                    USAGE,
                    format!("an auth in {} is not base64 of user:password", self.path.display()),
                )
            };
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(encoded.trim())
                .map_err(|_| broken())?;
            let text = String::from_utf8(decoded).map_err(|_| broken())?;
            // A password may have colons, a user name may not.
            let (user, password) = text.split_once(':').ok_or_else(broken)?;
            return Ok(Some(Login::Password(
                user.to_owned(),
                password.trim_end_matches('\0').to_owned(),
            )));
        }
        Ok(match (&auth.username, &auth.password) {
            (Some(user), Some(password)) => Some(Login::Password(user.clone(), password.clone())),
            _ => None,
        })
    }

    /// Docker would run `docker-credential-HELPER`. An image from scratch has none, and running what a file names is not for an init
    /// container; so the helper is named, and what to do instead.
    fn refuse_helper(&self, helper: &str) -> Failure {
        let cause = format!(
            "{} leaves the credentials to the helper docker-credential-{helper}, which is not run here",
            self.path.display()
        );
        Failure::new(AUTH, cause)
            .remedy("give a secret with plain credentials (kubectl create secret docker-registry), or --username and --password")
    }
}

fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => "it does not have the form of a docker config.json",
        _ => "it is not JSON",
    }
}

/// A Secret that is mounted as a directory has the file under its key.
fn resolve(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    let names = [".dockerconfigjson", "config.json", "auth.json"];
    names
        .iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| path.to_owned())
}

/// How precisely `key` means the repository: the length of its path, and no pattern before a pattern; `None` for not at all.
fn precision(key: &str, reference: &Reference) -> Option<(usize, bool)> {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_end_matches('/');
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    let host_matches = if host.contains('*') {
        // As the kubelet does: a pattern stands for one label.
        let (wanted, found): (Vec<_>, Vec<_>) = (host.split('.').collect(), reference.registry.split('.').collect());
        wanted.len() == found.len() && wanted.iter().zip(&found).all(|(w, f)| fast_glob::glob_match(w, f))
    } else {
        host.eq_ignore_ascii_case(&reference.registry)
    };
    let below =
        path.is_empty() || reference.repository == path || reference.repository.starts_with(&format!("{path}/"));
    (host_matches && below).then_some((path.len(), !host.contains('*')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(json: &str, reference: &str) -> Result<Option<Login>, Failure> {
        let config = DockerConfig {
            file: serde_json::from_str(json).unwrap(),
            path: "config.json".into(),
        };
        config.login(&reference.parse().unwrap())
    }

    fn user(json: &str, reference: &str) -> Option<String> {
        match login(json, reference).unwrap() {
            Some(Login::Password(user, password)) => Some(format!("{user}:{password}")),
            Some(Login::IdentityToken(token)) => Some(format!("token {token}")),
            None => None,
        }
    }

    #[test]
    fn the_most_precise_key_counts() {
        // dTpw = u:p, ZDpkOmQ= = d:d:d
        let json = r#"{"auths":{
            "r.example":{"auth":"dTpw"},
            "r.example/team":{"username":"team","password":"t"},
            "*.example":{"username":"any","password":"a"},
            "https://index.docker.io/v1/":{"auth":"ZDpkOmQ="},
            "t.test":{"identitytoken":"tok"},
            "empty.test":{}
        }}"#;
        assert_eq!(user(json, "r.example/other/app").as_deref(), Some("u:p"));
        assert_eq!(user(json, "r.example/team/app").as_deref(), Some("team:t"));
        assert_eq!(user(json, "r.example/teams/app").as_deref(), Some("u:p"));
        assert_eq!(user(json, "x.example/app").as_deref(), Some("any:a"));
        assert_eq!(user(json, "x.y.example/app"), None);
        assert_eq!(user(json, "alpine").as_deref(), Some("d:d:d"));
        assert_eq!(user(json, "t.test/a").as_deref(), Some("token tok"));
        assert_eq!(user(json, "empty.test/a"), None);
    }

    #[test]
    fn a_helper_is_named_and_not_run() {
        for json in [
            r#"{"credHelpers":{"r.example":"nonesuch"}}"#,
            r#"{"credsStore":"nonesuch"}"#,
        ] {
            let failure = login(json, "r.example/a").unwrap_err();
            assert!(failure.cause.contains("docker-credential-nonesuch"), "{failure}");
            assert_eq!(failure.code, AUTH);
        }
        assert!(login(r#"{"auths":{"r.example":{"auth":"%%"}}}"#, "r.example/a").is_err());
    }
}
