//! The types that the settings of a service have.

use pod_contract::config::{Setting, Shape, Word};
use pod_contract::units::{HostPort, Url};
use rustls::pki_types::ServerName;

use super::service::Protocol;
use crate::starttls::StartTls;

/// Whose Host header the cluster sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostHeader {
    Rewrite,
    Keep,
}

impl Word for HostHeader {
    const FORM: &'static str = "rewrite or keep";
    const WORDS: &'static [(&'static str, Self)] = &[("rewrite", Self::Rewrite), ("keep", Self::Keep)];
}

/// What an old server may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lenient {
    EqualLengths,
    BareLineFeeds,
}

impl Word for Lenient {
    const FORM: &'static str = "equal-lengths or bare-line-feeds";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("equal-lengths", Self::EqualLengths),
        ("bare-line-feeds", Self::BareLineFeeds),
    ];
}

/// RFC 9110, section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A protocol to change to, in lower case.
pub(super) struct Upgrade(pub(super) String);

impl Setting for Upgrade {
    const FORM: &'static str = "a protocol such as websocket, tcp or spdy/3.1";

    fn parse(text: &str) -> Result<Self, String> {
        let protocol = text.to_ascii_lowercase();
        if protocol.is_empty() || !protocol.bytes().all(|byte| byte == b'/' || is_token_byte(byte)) {
            return Err("it is no name of a protocol".into());
        }
        if protocol.starts_with("h2") {
            return Err("requests would pass unseen; HTTP/2 is not reached by an upgrade".into());
        }
        Ok(Self(protocol))
    }
}

/// How endpoints are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    /// HTTP/2 without TLS, and in it.
    H2c,
    H2,
    /// The same, with calls that may last.
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    Postgres,
}

impl Scheme {
    const NAMES: [&str; 9] = ["http", "https", "h2c", "h2", "grpc", "grpcs", "tcp", "tls", "postgres"];

    fn of(name: &str) -> Self {
        match name {
            "http" => Self::Http,
            "https" => Self::Https,
            "h2c" => Self::H2c,
            "h2" => Self::H2,
            "grpc" => Self::Grpc,
            "grpcs" => Self::Grpcs,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            _ => Self::Postgres,
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Http | Self::Https => Protocol::Http,
            Self::H2c | Self::H2 | Self::Grpc | Self::Grpcs => Protocol::Http2,
            Self::Tcp | Self::Tls => Protocol::Tcp,
            Self::Postgres => Protocol::Postgres,
        }
    }

    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Https | Self::H2 | Self::Grpcs | Self::Tls | Self::Postgres)
    }

    pub(super) fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }

    /// What is spoken before TLS.
    pub(super) fn starttls(self) -> Option<StartTls> {
        (self == Self::Postgres).then_some(StartTls::Postgres)
    }

    /// What is offered in a TLS handshake. Of bytes nobody knows what they are.
    pub(super) fn alpn(self) -> &'static [&'static str] {
        match self.protocol() {
            Protocol::Http => &["http/1.1"],
            Protocol::Http2 => &["h2"],
            Protocol::Tcp => &[],
            Protocol::Postgres => &["postgresql"],
        }
    }

    /// What a Host header leaves out.
    pub(super) fn default_port(self) -> Option<u16> {
        match self {
            Self::Http | Self::H2c | Self::Grpc => Some(80),
            Self::Https | Self::H2 | Self::Grpcs => Some(443),
            Self::Tcp | Self::Tls | Self::Postgres => None,
        }
    }
}

/// An endpoint as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndpointUrl {
    pub(super) scheme: Scheme,
    pub(super) url: Url,
    /// Its share, in relation to those of others.
    pub(super) weight: u8,
    /// It is used when nobody of a lower number is well.
    pub(super) priority: u8,
}

impl Setting for EndpointUrl {
    const FORM: &'static str = "http://HOST:PORT, https://HOST:PORT/PREFIX, h2c://, h2://, grpc:// or grpcs:// for HTTP/2, tcp://HOST:PORT, tls://HOST:PORT or postgres://HOST:PORT, with #weight=N&priority=N";

    fn parse(text: &str) -> Result<Self, String> {
        let (text, about) = text
            .split_once('#')
            .map_or((text, None), |(url, about)| (url, Some(about)));
        let (mut weight, mut priority) = (None, None);
        for word in about.into_iter().flat_map(|about| about.split('&')) {
            match word.split_once('=').map(|(name, number)| (name, number.parse())) {
                Some(("weight", Ok(number @ 1..))) if weight.is_none() => weight = Some(number),
                Some(("priority", Ok(number))) if priority.is_none() => priority = Some(number),
                _ => {
                    return Err(format!(
                        "after # stand weight=1 to 255 and priority=0 to 255, each once, not {word:?}"
                    ));
                }
            }
        }
        let url = Url::with_scheme(text, &Scheme::NAMES)?;
        let scheme = Scheme::of(&url.scheme);
        if !scheme.protocol().has_requests() && url.path != "/" {
            return Err(format!("it has a path, {:?}, and carries no requests", url.path));
        }
        if !url.path.is_ascii() {
            return Err("its path has characters that have to be escaped (%C3%A9)".into());
        }
        if url.path.contains('?') {
            return Err("it has a query; the application's is used".into());
        }
        Ok(Self {
            scheme,
            url,
            weight: weight.unwrap_or(1),
            priority: priority.unwrap_or(0),
        })
    }
}

/// Where a tunnel may lead.
pub(super) struct Place(pub(super) HostPort);

impl Setting for Place {
    const FORM: &'static str = "HOST:PORT";

    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::with_scheme(&format!("tcp://{text}"), &["tcp"])?;
        if text.contains(['/', '?']) {
            return Err("it has a path".into());
        }
        Ok(Self(url.address))
    }
}

/// Who a server has to be, as its certificate says.
pub(super) struct TlsName(pub(super) ServerName<'static>);

impl Setting for TlsName {
    const FORM: &'static str = "a name or an address";

    fn parse(text: &str) -> Result<Self, String> {
        // The dot that ends a name in DNS stands in no certificate.
        let name = text.strip_suffix('.').unwrap_or(text).to_owned();
        ServerName::try_from(name).map(Self).map_err(|error| error.to_string())
    }
}

/// A count from 1 up.
pub(super) struct Count(pub(super) usize);

impl Setting for Count {
    const FORM: &'static str = "a number from 1 to 1000000";
    const SHAPE: Shape = Shape::Integer;

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count @ 1..=1_000_000) => Ok(Self(count)),
            _ => Err("it is out of range".into()),
        }
    }
}

/// A number of tries that may be none.
pub(super) struct Tries(pub(super) u32);

impl Setting for Tries {
    const FORM: &'static str = "a number from 0 to 10";
    const SHAPE: Shape = Shape::Integer;

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(tries @ 0..=10) => Ok(Self(tries)),
            _ => Err("it is out of range".into()),
        }
    }
}
