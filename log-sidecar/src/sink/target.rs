//! A sink as typed, by scheme.

use pod_contract::config::Setting;
use pod_contract::units::Url;

use super::index::Index;

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    Elasticsearch(Cluster),
}

/// An index of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// `http` or `https`, host and port.
    pub(crate) origin: String,
    pub(crate) is_encrypted: bool,
    /// Is it this machine itself?
    pub(crate) is_local: bool,
    /// What a gateway has before the cluster's own paths; empty, or with a slash in front.
    pub(crate) prefix: String,
    pub(crate) index: Index,
    /// An ingest pipeline.
    pub(crate) pipeline: Option<String>,
}

impl Target {
    /// Does the time of a record decide where it goes?
    pub(crate) fn is_dated(&self) -> bool {
        matches!(self, Self::Elasticsearch(cluster) if cluster.index.is_dated())
    }
}

const SCHEMES: [&str; 4] = [
    "elasticsearch+http",
    "elasticsearch+https",
    "opensearch+http",
    "opensearch+https",
];

impl Setting for Target {
    const FORM: &'static str =
        "elasticsearch+https://HOST:PORT/INDEX, also opensearch and http, with ?pipeline=NAME; or stdout";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "stdout" {
            return Ok(Self::Stdout);
        }
        let url = Url::with_scheme(text, &SCHEMES)?;
        let (path, query) = url.path.split_once('?').unwrap_or((&url.path, ""));
        let path = path.trim_matches('/');
        let (prefix, index) = path.rsplit_once('/').unwrap_or(("", path));
        let index = Index::parse(index)?;
        let pipeline = match query.split_once('=') {
            _ if query.is_empty() => None,
            Some(("pipeline", name)) if !name.is_empty() && !name.contains('&') => Some(name.to_owned()),
            _ => return Err(format!("{query:?} is not pipeline=NAME")),
        };
        let is_encrypted = url.scheme.ends_with("https");
        let host = &url.address.host;
        let is_loopback = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        Ok(Self::Elasticsearch(Cluster {
            origin: format!("{}://{}", if is_encrypted { "https" } else { "http" }, url.address),
            is_encrypted,
            is_local: host == "localhost" || is_loopback,
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("/{prefix}")
            },
            index,
            pipeline,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_named_by_scheme() {
        assert_eq!(Target::parse("stdout"), Ok(Target::Stdout));
        let cluster = |text: &str| match Target::parse(text) {
            Ok(Target::Elasticsearch(cluster)) => cluster,
            other => panic!("{other:?}"),
        };
        let plain = cluster("elasticsearch+http://es:9200/app");
        assert_eq!(
            (plain.origin.as_str(), plain.index.at(0).as_str()),
            ("http://es:9200", "app")
        );
        assert!(!plain.is_encrypted && !plain.is_local && plain.prefix.is_empty());
        let gateway = cluster("opensearch+https://localhost/logs/es/app?pipeline=clean");
        assert_eq!(gateway.origin, "https://localhost:443");
        assert_eq!(
            (gateway.prefix.as_str(), gateway.index.at(0).as_str()),
            ("/logs/es", "app")
        );
        assert_eq!(gateway.pipeline.as_deref(), Some("clean"));
        assert!(gateway.is_encrypted && gateway.is_local);
        for bad in [
            "",
            "es:9200",
            "http://es:9200/app",
            "elasticsearch+http://es:9200",
            "elasticsearch+http://es:9200/App",
            "elasticsearch+http://es/_x",
            "elasticsearch+http://es/app?x=y",
            "elasticsearch+http://es/app?pipeline=",
            "elasticsearch+https://user:password@es/app",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }
}
