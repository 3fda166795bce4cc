//! The types that the settings of a service have.

use pod_contract::config::{Setting, Shape, Word};
use pod_contract::units::Url;

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

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The less loaded of two random ones.
    Least,
    /// Always the same one, while it is well.
    Sticky,
}

impl Word for Balance {
    const FORM: &'static str = "least or sticky";
    const WORDS: &'static [(&'static str, Self)] = &[("least", Self::Least), ("sticky", Self::Sticky)];
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

/// A protocol to change to, in lower case.
pub(super) struct Upgrade(pub(super) String);

impl Setting for Upgrade {
    const FORM: &'static str = "a protocol such as websocket, tcp or spdy/3.1";

    fn parse(text: &str) -> Result<Self, String> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
        let protocol = text.to_ascii_lowercase();
        if protocol.is_empty() || !protocol.bytes().all(is_token) {
            return Err("it is no name of a protocol".into());
        }
        if protocol.starts_with("h2") {
            return Err("requests would pass unseen; HTTP/2 is not reached by an upgrade".into());
        }
        Ok(Self(protocol))
    }
}

/// An endpoint as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndpointUrl(pub(super) Url);

impl Setting for EndpointUrl {
    const FORM: &'static str = "http://HOST:PORT, http://HOST:PORT/PREFIX or tcp://HOST:PORT";

    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::with_scheme(text, &["http", "tcp"])?;
        if url.scheme == "tcp" && url.path != "/" {
            return Err(format!("it has a path, {:?}, and carries no requests", url.path));
        }
        if !url.path.is_ascii() {
            return Err("its path has characters that have to be escaped (%C3%A9)".into());
        }
        if url.path.contains('?') {
            return Err("it has a query; the application's is used".into());
        }
        Ok(Self(url))
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
