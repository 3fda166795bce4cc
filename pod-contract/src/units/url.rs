//! `http://host:port/path`.

use std::fmt;

use super::address::HostPort;
use crate::config::Setting;

/// A URL of a network service: `scheme://host:port/path?query`, without user information or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// As written, in lower case.
    pub scheme: String,
    /// With the scheme's default port where the text has none (http: 80, https: 443).
    pub address: HostPort,
    /// Path and query; `/` when the text has none.
    pub path: String,
}

impl Url {
    /// Parses `text` and accepts only the `schemes` named; a scheme other than `http`, `https` or one ending in `+http` or `+https` needs a port.
    pub fn with_scheme(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !schemes.contains(&scheme.as_str()) {
            return Err(format!("the scheme {scheme:?} is not one of {}", schemes.join(", ")));
        }
        // `http::Uri` proves host, port and path whatever the scheme stands for.
        let uri: http::Uri = format!("http://{rest}")
            .parse()
            .map_err(|e: http::uri::InvalidUri| e.to_string())?;
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it carries user information, which would show in process lists".into());
        }
        if rest.contains('#') {
            return Err("it has a fragment".into());
        }
        let port = match authority.port_u16() {
            Some(0) => return Err("port 0 cannot be connected to".into()),
            Some(port) => port,
            None if authority.as_str().ends_with(':') || authority.as_str().len() > authority.host().len() => {
                return Err("its port is not a number from 1 to 65535".into());
            }
            None if scheme == "http" || scheme.ends_with("+http") => 80,
            None if scheme == "https" || scheme.ends_with("+https") => 443,
            None => return Err("it has no port".into()),
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() {
            return Err("it has no host".into());
        }
        let path = uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str)
            .to_owned();
        Ok(Self {
            scheme,
            address: HostPort { host, port },
            path,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.address, self.path)
    }
}

/// A [`Url`] of scheme `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(pub Url);

impl Setting for HttpUrl {
    const FORM: &'static str = "a URL such as http://127.0.0.1:8080/metrics";

    fn parse(text: &str) -> Result<Self, String> {
        Url::with_scheme(text, &["http"]).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::with_scheme("http://[::1]:81/a?b=c", &["http"]).unwrap();
        assert_eq!(
            (url.address.to_string().as_str(), url.path.as_str()),
            ("[::1]:81", "/a?b=c")
        );
        assert_eq!(url.to_string(), "http://[::1]:81/a?b=c");
        assert_eq!(Url::with_scheme("http://es", &["http"]).unwrap().address.port, 80);
        assert_eq!(
            Url::with_scheme("es+https://es/a", &["es+https"]).unwrap().address.port,
            443
        );
        let bad = [
            "es:80",
            "https://es:443/",
            "http://",
            "http://:80/",
            "http://u:p@h/",
            "http://h:0/",
            "http://h:65536/",
            "http://h:/",
            "http://h:80/#x",
            "http://a b/",
        ];
        for bad in bad {
            assert!(Url::with_scheme(bad, &["http"]).is_err(), "{bad:?}");
        }
        assert!(
            Url::with_scheme("tcp://db", &["tcp"]).is_err(),
            "tcp has no default port"
        );
    }
}
