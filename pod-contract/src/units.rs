//! Values with a unit, parsed once into types that cannot be wrong. A bare number is refused: nobody can tell what it counts.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Setting;

impl Setting for Duration {
    const FORM: &'static str = "a duration with a unit, such as 500ms, 10s or 2m";

    fn parse(text: &str) -> Result<Self, String> {
        const LONGEST: Duration = Duration::from_secs(86_400 * 365);
        let duration = humantime::parse_duration(text).map_err(|e| e.to_string())?;
        if duration > LONGEST {
            Err("it is longer than a year".into())
        } else {
            Ok(duration)
        }
    }
}

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The amount as a length of something in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize(self.0).display().iec().fmt(f)
    }
}

impl Setting for Bytes {
    const FORM: &'static str = "a size with a unit, such as 64KiB, 16MiB or 1GB";

    fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err("it has no unit".into());
        }
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.0))
    }
}

impl Setting for SocketAddr {
    const FORM: &'static str = "an address to listen on, such as 127.0.0.1:8080 or :8080 for every interface";

    fn parse(text: &str) -> Result<Self, String> {
        let full = if text.starts_with(':') {
            format!("0.0.0.0{text}")
        } else {
            text.to_owned()
        };
        if let Some(port) = full.strip_prefix("localhost:") {
            return Self::parse(&format!("127.0.0.1:{port}"));
        }
        full.parse().map_err(|_| "it is not of the form IP:PORT".to_owned())
    }
}

impl Setting for PathBuf {
    const FORM: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("it is empty".into())
        } else {
            Ok(Self::from(text))
        }
    }
}

impl Setting for String {
    const FORM: &'static str = "a text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Setting for bool {
    const FORM: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "it is neither".to_owned())
    }
}

impl Setting for u32 {
    const FORM: &'static str = "a whole number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: std::num::ParseIntError| e.to_string())
    }
}

/// Something that can be switched off with the word `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T: Setting> Setting for OrOff<T> {
    const FORM: &'static str = T::FORM;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            Ok(Self(None))
        } else {
            T::parse(text).map(|value| Self(Some(value)))
        }
    }
}

/// Host name or address with a port, not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// The addresses behind the name, asked of the system's resolver; blocks.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracket = self.host.contains(':');
        let (open, close) = if bracket { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// A URL of a network service: `scheme://host:port/path?query`, without user information or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// As written, in lower case.
    pub scheme: String,
    /// With the scheme's default port where the text has none (http: 80).
    pub address: HostPort,
    /// Path and query; `/` when the text has none.
    pub path: String,
}

impl Url {
    /// Parses `text` and accepts only the `schemes` named; a scheme other than `http` or one ending in `+http` needs a port.
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
    fn durations_need_a_unit() {
        assert_eq!(Duration::parse("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["10", "", "ten seconds", "-1s", "10 parsecs", "366days"] {
            assert!(Duration::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        for (text, bytes) in [("64KiB", 65_536), ("16Mi", 16 << 20), ("1GB", 1_000_000_000), ("0B", 0)] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text:?}");
        }
        for bad in ["64", "1.5", "", "MiB", "5 elephants", "-1KiB"] {
            assert!(Bytes::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn listen_addresses_have_short_forms() {
        for (text, full) in [
            (":9102", "0.0.0.0:9102"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("1.2.3.4:0", "1.2.3.4:0"),
        ] {
            assert_eq!(SocketAddr::parse(text), Ok(full.parse().unwrap()), "{text:?}");
        }
        for bad in ["127.0.0.1", "host:80", ":65536", "", "80"] {
            assert!(SocketAddr::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::with_scheme("http://[::1]:81/a?b=c", &["http"]).unwrap();
        assert_eq!(
            (url.address.to_string().as_str(), url.path.as_str()),
            ("[::1]:81", "/a?b=c")
        );
        assert_eq!(url.to_string(), "http://[::1]:81/a?b=c");
        assert_eq!(Url::with_scheme("http://es", &["http"]).unwrap().address.port, 80);
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
