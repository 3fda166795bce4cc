//! Where to listen, and whom to reach.

use std::fmt;
use std::net::SocketAddr;

use crate::config::Setting;

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

/// Host name or address with a port, not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracket = self.host.contains(':');
        let (open, close) = if bracket { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
