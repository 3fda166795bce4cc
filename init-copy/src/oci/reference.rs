//! `registry/repository:tag@digest`.
//!
//! Source: OCI Distribution Specification 1.1, "Pulling manifests"; the short forms are those of Docker.

use std::fmt;
use std::str::FromStr;

const DOCKER: &str = "docker.io";
/// Longer ones are refused by registries.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// An artifact in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host, and port if it is not the usual one.
    pub registry: String,
    /// Path in the registry.
    pub repository: String,
    /// `latest` when there is neither tag nor digest.
    pub tag: Option<String>,
    /// `sha256:` and 64 digits.
    pub digest: Option<String>,
}

impl Reference {
    /// The host to ask: Docker's registry has another name than its images.
    pub fn host(&self) -> &str {
        if self.registry == DOCKER {
            "registry-1.docker.io"
        } else {
            &self.registry
        }
    }

    /// What names the manifest: the digest if there is one, else the tag.
    pub fn manifest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest
            && !is_digest(digest)
        {
            return Err(format!("{digest:?} is not of the form sha256: and 64 digits"));
        }
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to the port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(format!("{tag:?} is no tag"));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (DOCKER, name.to_owned()),
            None => (DOCKER, format!("library/{name}")),
        };
        if repository.len() > MAX_NAME || !repository.split('/').all(is_component) {
            return Err(format!(
                "{repository:?} is no repository: lower case letters, digits and . _ - between slashes"
            ));
        }
        if !is_registry(registry) {
            return Err(format!("{registry:?} is no host with an optional port"));
        }
        Ok(Self {
            registry: match registry {
                "index.docker.io" | "registry-1.docker.io" => DOCKER.to_owned(),
                other => other.to_owned(),
            },
            repository,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The only algorithm that registries use.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_component(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = name.bytes().next().is_some_and(plain) && name.bytes().next_back().is_some_and(plain);
    ends && name.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-')) && !name.contains("..")
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    good_port
        && match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(name),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_dockers() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("alpine", "docker.io/library/alpine".to_owned()),
            ("alpine:3", "docker.io/library/alpine:3".to_owned()),
            ("me/app", "docker.io/me/app".to_owned()),
            ("index.docker.io/me/app", "docker.io/me/app".to_owned()),
            ("localhost/app", "localhost/app".to_owned()),
            ("r.example:5000/a/b:v1.0", "r.example:5000/a/b:v1.0".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a".to_owned()),
            (&format!("r.example/a@{digest}"), format!("r.example/a@{digest}")),
            (&format!("r.example/a:1@{digest}"), format!("r.example/a:1@{digest}")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
        assert_eq!("alpine".parse::<Reference>().unwrap().host(), "registry-1.docker.io");
        assert_eq!("r.example/a".parse::<Reference>().unwrap().manifest(), "latest");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "/",
            "r.example/",
            "r.example/A",
            "r.example/a/../b",
            "r.example/a:",
            "r.example/a:-x",
            "r.example/a@md5:00",
            "r.example:0/a",
            "r.example:99999/a",
            "r e/a",
            "r.example/a@sha256:xyz",
            "r.example/-a",
            "u@r.example/a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        for (length, good) in [(MAX_TAG - 1, true), (MAX_TAG, true), (MAX_TAG + 1, false)] {
            assert_eq!(
                format!("r.example/a:{}", "x".repeat(length))
                    .parse::<Reference>()
                    .is_ok(),
                good
            );
        }
        for (length, good) in [(MAX_NAME - 1, true), (MAX_NAME, true), (MAX_NAME + 1, false)] {
            assert_eq!(
                format!("r.example/{}", "x".repeat(length)).parse::<Reference>().is_ok(),
                good
            );
        }
    }
}
