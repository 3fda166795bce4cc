//! The address of something to fetch.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use ureq::http::Uri;

use pod_contract::units::hex;

/// An absolute `http` or `https` URL without user information, which would show in process lists and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebUrl(Uri);

impl WebUrl {
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Tells this URL from any other: like its text, with a digest in the place of the query.
    pub(crate) fn label(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{self}#{}", &hex(&Sha256::digest(query.as_bytes()))[..16]),
            None => self.to_string(),
        }
    }

    /// Credentials for one origin are not for another (RFC 6454, section 4).
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.is_https() == other.is_https()
            && self.port() == other.port()
            && self.host().eq_ignore_ascii_case(other.host())
    }

    /// The last name of the path, decoded; empty when the path ends with a slash.
    pub(crate) fn file_name(&self) -> Vec<u8> {
        let last = self.0.path().rsplit('/').next().unwrap_or_default();
        percent_encoding::percent_decode_str(last).collect()
    }

    /// What a `Location` header with this value means here (RFC 3986, section 5.2, as far as redirects need it).
    pub(crate) fn join(&self, location: &str) -> Result<Self, String> {
        // Some servers write what has to be encoded.
        const ENCODED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
            .add(b' ')
            .add(b'"')
            .add(b'<')
            .add(b'>')
            .add(b'`');
        let location = location.split('#').next().unwrap_or_default();
        let location = percent_encoding::utf8_percent_encode(location, ENCODED).to_string();
        let before_path = location.split(['/', '?']).next().unwrap_or_default();
        if before_path.ends_with(':') {
            return location.parse();
        }
        let scheme = if self.is_https() { "https" } else { "http" };
        let authority = self.0.authority().map_or("", |a| a.as_str());
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{scheme}://{rest}").parse();
        }
        if location.starts_with('/') {
            return format!("{scheme}://{authority}{location}").parse();
        }
        let path = self.0.path();
        let (relative, query) = match location.split_once('?') {
            Some((relative, query)) => (relative, format!("?{query}")),
            None => (location.as_str(), String::new()),
        };
        if relative.is_empty() {
            return format!("{scheme}://{authority}{path}{query}").parse();
        }
        let mut components: Vec<&str> = Vec::new();
        let dir = &path[..=path.rfind('/').unwrap_or(0)];
        for component in dir.split('/').chain(relative.split('/')) {
            match component {
                "" | "." => {}
                ".." => drop(components.pop()),
                name => components.push(name),
            }
        }
        let slash = if relative.ends_with('/') { "/" } else { "" };
        format!("{scheme}://{authority}/{}{slash}{query}", components.join("/")).parse()
    }
}

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|e: ureq::http::uri::InvalidUri| e.to_string())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("it is not of the form http(s)://HOST/PATH".into());
        }
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err(
                "it carries user information, which would show in process lists; use --username and --password".into(),
            );
        }
        if uri.host().unwrap_or_default().is_empty() {
            return Err("it has no host".into());
        }
        if authority.port_u16().is_none() && authority.as_str().len() > authority.host().len() {
            return Err("its port is not a number from 1 to 65535".into());
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for WebUrl {
    /// Without the query, which may hold a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |a| a.as_str());
        let query = if self.0.query().is_some() { "?…" } else { "" };
        write!(
            f,
            "{}://{authority}{}{query}",
            self.0.scheme_str().unwrap_or_default(),
            self.0.path()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_to_where_they_came_from() {
        let base: WebUrl = "https://a.example:8443/x/y/z?q#f".parse().unwrap();
        for (location, target) in [
            ("http://b.example/p", "http://b.example/p"),
            ("//b.example/p", "https://b.example/p"),
            ("/p?s=1", "https://a.example:8443/p?s=1"),
            ("w", "https://a.example:8443/x/y/w"),
            ("../w?s", "https://a.example:8443/x/w?s"),
            (
                "/ok?u=https://b.example/",
                "https://a.example:8443/ok?u=https://b.example/",
            ),
            ("/a file", "https://a.example:8443/a%20file"),
            ("?page=2", "https://a.example:8443/x/y/z?page=2"),
            ("dir/", "https://a.example:8443/x/y/dir/"),
        ] {
            assert_eq!(base.join(location).unwrap().uri().to_string(), target, "{location}");
        }
        assert!(base.join("ftp://b.example/").is_err());
    }

    #[test]
    fn names_and_origins() {
        let url: WebUrl = "http://a.example/dir/my%20app.war?token=secret".parse().unwrap();
        assert_eq!(url.file_name(), b"my app.war");
        assert_eq!(url.to_string(), "http://a.example/dir/my%20app.war?…");
        let other: WebUrl = "http://a.example/dir/my%20app.war?token=Secret".parse().unwrap();
        assert!(url.label() != other.label() && !url.label().contains("secret"));
        let plain: WebUrl = "http://a.example/x".parse().unwrap();
        assert_eq!(plain.label(), "http://a.example/x");
        assert!(url.same_origin(&"http://A.example:80/".parse().unwrap()));
        assert!(!url.same_origin(&"https://a.example/".parse().unwrap()));
        for bad in [
            "a.example/x",
            "http://",
            "http://u:p@h/",
            "http://h:99999/",
            "http://h:/",
            "file:///x",
        ] {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad}");
        }
    }
}
