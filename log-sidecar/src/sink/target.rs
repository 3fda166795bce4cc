//! A sink as typed, by scheme.

use pod_contract::aws::Bucket;
use pod_contract::config::Setting;
use pod_contract::units::{HostPort, Url};

use super::dated::Dated;
use super::index::Index;
use super::otlp::Encoding;
use super::rotating::Place;
use super::web::Form;

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    File(Place),
    Elasticsearch(Cluster),
    Otlp(Server, Encoding),
    Loki(Server),
    Syslog(Server),
    /// Syslog, too.
    Datagrams(Server),
    /// The path is the tag.
    Forward(Server),
    /// Anybody who takes documents.
    Web(Server, Form),
    S3(Folder),
}

/// Where objects are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) bucket: Bucket,
    /// What their keys begin with, up to the last slash, with the time in it.
    pub(crate) prefix: Dated,
}

/// Who is spoken to over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: HostPort,
    /// Of HTTP: `http` or `https`, host and port.
    pub(crate) origin: String,
    pub(crate) is_encrypted: bool,
    /// Is it this machine itself?
    pub(crate) is_local: bool,
    /// Empty, or with a slash in front.
    pub(crate) path: String,
}

/// An index of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// With what a gateway has before the cluster's own paths.
    pub(crate) server: Server,
    pub(crate) index: Index,
    /// An ingest pipeline.
    pub(crate) pipeline: Option<String>,
}

impl Target {
    /// Does the time of a record decide where it goes?
    pub(crate) fn is_dated(&self) -> bool {
        matches!(self, Self::Elasticsearch(cluster) if cluster.index.is_dated())
    }

    /// Is what is sent at once kept as one object, of a name of its own?
    pub(crate) fn keeps_objects(&self) -> bool {
        matches!(self, Self::S3(_))
    }

    /// Does the sink know by its time what is sent again?
    pub(crate) fn knows_by_time(&self) -> bool {
        matches!(self, Self::Loki(_))
    }

    /// Who is spoken to, if that is over the network and the target says it.
    pub(crate) fn server(&self) -> Option<&Server> {
        match self {
            Self::Stdout | Self::File(_) | Self::S3(_) => None,
            Self::Elasticsearch(cluster) => Some(&cluster.server),
            Self::Otlp(server, _)
            | Self::Loki(server)
            | Self::Syslog(server)
            | Self::Datagrams(server)
            | Self::Forward(server)
            | Self::Web(server, _) => Some(server),
        }
    }
}

impl Server {
    fn of(url: &Url, path: &str) -> Self {
        let host = &url.address.host;
        let is_loopback = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        let is_encrypted = url.scheme.ends_with("https") || url.scheme.ends_with("+tls");
        Self {
            address: url.address.clone(),
            origin: format!("{}://{}", if is_encrypted { "https" } else { "http" }, url.address),
            is_encrypted,
            is_local: host == "localhost" || is_loopback,
            path: if path.is_empty() {
                String::new()
            } else {
                format!("/{path}")
            },
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }
}

const SCHEMES: [&str; 17] = [
    "elasticsearch+http",
    "elasticsearch+https",
    "opensearch+http",
    "opensearch+https",
    "otlp+http",
    "otlp+https",
    "loki+http",
    "loki+https",
    "ndjson+http",
    "ndjson+https",
    "json+http",
    "json+https",
    "syslog+tcp",
    "syslog+tls",
    "syslog+udp",
    "forward+tcp",
    "forward+tls",
];

/// Of OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>.
const OTLP_PATH: &str = "v1/logs";
const LOKI_PATH: &str = "loki/api/v1/push";

impl Setting for Target {
    const FORM: &'static str = "elasticsearch+https://HOST:PORT/INDEX, also opensearch and http, with ?pipeline=NAME; \
        otlp+https://HOST:PORT, with ?encoding=json, loki+https://HOST:PORT, ndjson+https://HOST:PORT/PATH or json+https://HOST:PORT/PATH, also http; syslog+tls://HOST:PORT, also tcp and udp; forward+tls://HOST:PORT/TAG, also tcp; s3://BUCKET/FOLDER; file:///PATH, with ?max-size=SIZE&keep=COUNT; or stdout";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "stdout" {
            return Ok(Self::Stdout);
        }
        if let Some(place) = text.strip_prefix("file://") {
            return Place::parse(place).map(Self::File);
        }
        if let Some(place) = text.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            return Ok(Self::S3(Folder {
                bucket: bucket.parse()?,
                prefix: Dated::folder(prefix)?,
            }));
        }
        let url = Url::with_scheme(text, &SCHEMES)?;
        let (path, query) = url.path.split_once('?').unwrap_or((&url.path, ""));
        let path = path.trim_matches('/');
        let kind = url.scheme.split('+').next().unwrap_or_default();
        let usual = match kind {
            "otlp" => OTLP_PATH,
            "loki" => LOKI_PATH,
            _ => "",
        };
        let server = || Server::of(&url, if path.is_empty() { usual } else { path });
        match kind {
            "syslog" if !path.is_empty() || !query.is_empty() => return Err("syslog takes no path".into()),
            "syslog" if url.scheme.ends_with("+udp") => return Ok(Self::Datagrams(server())),
            "syslog" => return Ok(Self::Syslog(server())),
            "forward" if path.is_empty() || !query.is_empty() => {
                return Err("forward takes a tag: forward+tls://HOST:PORT/TAG".into());
            }
            "forward" => return Ok(Self::Forward(server())),
            "otlp" => {
                let encoding = option(query, "encoding")?.map(Encoding::parse).transpose()?;
                return Ok(Self::Otlp(server(), encoding.unwrap_or(Encoding::Protobuf)));
            }
            "loki" if !query.is_empty() => return Err("loki takes no query".into()),
            "loki" => return Ok(Self::Loki(server())),
            "ndjson" | "json" => {
                let form = if kind == "json" { Form::Array } else { Form::Lines };
                // As it stands: what it means is theirs.
                return Ok(Self::Web(Server::of(&url, url.path.trim_start_matches('/')), form));
            }
            _ => {}
        }
        let (prefix, index) = path.rsplit_once('/').unwrap_or(("", path));
        let index = Index::parse(index)?;
        let pipeline = option(query, "pipeline")?.map(str::to_owned);
        Ok(Self::Elasticsearch(Cluster {
            server: Server::of(&url, prefix),
            index,
            pipeline,
        }))
    }
}

/// The value of `name`, which is all that `query` may say.
fn option<'q>(query: &'q str, name: &str) -> Result<Option<&'q str>, String> {
    match query.split_once('=') {
        _ if query.is_empty() => Ok(None),
        Some((known, value)) if known == name && !value.is_empty() && !value.contains('&') => Ok(Some(value)),
        _ => Err(format!("{query:?} is not {name}=VALUE")),
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
            (plain.server.origin.as_str(), plain.index.at(0).as_str()),
            ("http://es:9200", "app")
        );
        assert!(!plain.server.is_encrypted && !plain.server.is_local && plain.server.path.is_empty());
        let gateway = cluster("opensearch+https://localhost/logs/es/app?pipeline=clean");
        assert_eq!(gateway.server.origin, "https://localhost:443");
        assert_eq!(
            (gateway.server.path.as_str(), gateway.index.at(0).as_str()),
            ("/logs/es", "app")
        );
        assert_eq!(gateway.pipeline.as_deref(), Some("clean"));
        assert!(gateway.server.is_encrypted && gateway.server.is_local);
        for (text, url) in [
            ("otlp+http://collector:4318", "http://collector:4318/v1/logs"),
            ("otlp+https://collector/", "https://collector:443/v1/logs"),
            ("otlp+https://collector?encoding=json", "https://collector:443/v1/logs"),
            ("otlp+https://loki/otlp/v1/logs", "https://loki:443/otlp/v1/logs"),
            ("loki+http://loki:3100", "http://loki:3100/loki/api/v1/push"),
            (
                "loki+https://gateway/x/loki/api/v1/push",
                "https://gateway:443/x/loki/api/v1/push",
            ),
            ("ndjson+http://logs/in?stream=app", "http://logs:80/in?stream=app"),
            ("json+https://logs", "https://logs:443"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.server().unwrap().url(), url);
        }
        assert!(matches!(Target::parse("syslog+tls://logs:6514"), Ok(Target::Syslog(server)) if server.is_encrypted));
        for bad in [
            "",
            "otlp://collector",
            "otlp+http://collector?x=y",
            "otlp+http://collector?encoding=xml",
            "loki+http://loki?x=y",
            "ndjson://logs",
            "syslog+tcp://logs",
            "syslog+udp://logs",
            "forward+tcp://logs/app",
            "forward+tcp://logs:24224",
            "forward+tcp://logs:24224/app?x=y",
            "syslog+tls://logs:6514/x",
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
