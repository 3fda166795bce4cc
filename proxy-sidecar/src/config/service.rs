//! One service, proved: its listener, its cluster, and how requests go from one to the other.

use std::net::SocketAddr;
use std::time::Duration;

use pod_contract::config::Settings;
use pod_contract::units::{Bytes, HostPort};

use super::balancing::{self, Balancing};
use super::health::{Check, Health};
use super::secure::Security;
use super::words::{Count, EndpointUrl, HostHeader, Lenient, Place, Scheme, Tries, Upgrade};
use crate::access_log::AccessLog;
use crate::dial::Secure;
use crate::message::head::Rules;

/// One listener and the cluster behind it.
#[derive(Debug, Clone)]
pub(crate) struct ServiceConfig {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) targets: Vec<Target>,
    /// In TLS, but with whoever answers.
    pub(crate) is_insecure: bool,
    /// Where a `CONNECT` may lead.
    pub(crate) connects: Vec<Target>,
    pub(crate) balancing: Balancing,
    pub(crate) access_log: AccessLog,
    pub(crate) host: HostHeader,
    pub(crate) rules: Rules,
    pub(crate) times: Times,
    pub(crate) max_connections: usize,
    pub(crate) max_requests: usize,
    pub(crate) max_head: usize,
    pub(crate) retries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    /// HTTP/2, of the application too.
    Http2,
    Tcp,
    /// Bytes, but for how a connection begins.
    Postgres,
}

impl Protocol {
    /// It carries requests, and not only bytes.
    pub(crate) fn has_requests(self) -> bool {
        matches!(self, Self::Http | Self::Http2)
    }
}

/// An endpoint, or a name of several.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: HostPort,
    /// What Host says: without the scheme's default port.
    pub(crate) host: String,
    /// Its share, in relation to those of others.
    pub(crate) weight: f64,
    /// It is used when nobody of a lower number is well.
    pub(crate) priority: u8,
    /// What its paths begin with, without a slash at the end.
    pub(crate) prefix: String,
    /// In TLS, if that is how it is spoken to.
    pub(crate) secure: Option<Secure>,
    /// How it is checked, if it is.
    pub(crate) health: Option<Check>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) connect: Duration,
    pub(crate) resolve: Duration,
    pub(crate) response: Duration,
    pub(crate) idle: Duration,
    pub(crate) client_idle: Duration,
    pub(crate) upstream_idle: Duration,
    pub(crate) upstream_max_age: Duration,
}

impl ServiceConfig {
    pub(super) fn prove(name: String, s: &mut Settings<'_>) -> Option<Self> {
        let listen = s.required("listen");
        let to = s.required_list::<EndpointUrl>("to");
        let host = s.or("host", HostHeader::Rewrite);
        let said = balancing::Said::read(s);
        let connects = s.list::<Place>("connect");
        let rules = rules(s);
        let times = Times::prove(&name, to.as_ref().and_then(|to| to.first()).map(|url| url.scheme), s);
        let max_connections = s.or("max-connections", Count(4096));
        let max_requests = s.or("max-requests", Count(512));
        let max_head = s.or("max-head", Bytes(16 * 1024));
        let retries = s.or("retries", Tries(2));
        let access_log = s.or("access-log", AccessLog::Off);
        let (to, max_head) = (to?, max_head?.as_usize());
        if !(256..=1 << 20).contains(&max_head) {
            return s.refuse_together(
                &["max-head"],
                format!("max-head of service {name} has to be from 256B to 1MiB"),
            );
        }
        let scheme = scheme(&name, &to, s)?;
        let protocol = scheme.protocol();
        let balancing = said
            .as_ref()
            .and_then(|said| Balancing::prove(&name, protocol, said, s));
        let health = Health::prove(&name, s);
        let (balancing, health) = (balancing?, health?);
        let check = health.as_ref().and_then(Health::alpn);
        let security = Security::prove(scheme, check, s)?;
        let targets = to.into_iter();
        let targets: Result<_, _> = targets
            .map(|url| Target::new(url, security.as_ref(), health.as_ref()))
            .collect();
        let targets = match targets {
            Ok(targets) => targets,
            Err(why) => return s.refuse_together(&["to"], why),
        };
        Some(Self {
            name,
            listen: listen?,
            protocol,
            targets,
            connects: connects?.into_iter().map(|Place(place)| Target::plain(place)).collect(),
            is_insecure: security.is_some_and(|security| security.is_insecure),
            balancing,
            access_log: access_log?,
            host: host?,
            rules: Rules {
                hash_by: said?.hash_by,
                ..rules?
            },
            times: times?,
            max_connections: max_connections?.0,
            max_requests: max_requests?.0,
            max_head,
            retries: retries?.0,
        })
    }
}

impl ServiceConfig {
    /// The same, but bytes to `target`, by whose name it goes.
    pub(crate) fn connecting_to(&self, target: &Target) -> Self {
        Self {
            name: target.host.clone(),
            protocol: Protocol::Tcp,
            targets: vec![target.clone()],
            balancing: Balancing::sticky(),
            connects: Vec::new(),
            ..self.clone()
        }
    }
}

impl Times {
    /// What of HTTP/2 is kept costs less and ends more orderly than what of HTTP/1.1 is; and a call of gRPC may have nothing to say for long.
    fn prove(name: &str, scheme: Option<Scheme>, s: &mut Settings<'_>) -> Option<Self> {
        let is_http2 = scheme.is_some_and(|scheme| scheme.protocol() == Protocol::Http2);
        let is_grpc = scheme.is_some_and(Scheme::is_grpc);
        let connect = s.or("connect-timeout", Duration::from_secs(4));
        let resolve = s.or("resolve-timeout", Duration::from_secs(5));
        let response = s.or("response-timeout", Duration::from_secs(if is_grpc { 300 } else { 60 }));
        let idle = s.or("idle-timeout", Duration::from_secs(300));
        let client_idle = s.or("client-idle", Duration::from_secs(600));
        let upstream_idle = s.or("upstream-idle", Duration::from_secs(if is_http2 { 300 } else { 4 }));
        let upstream_max_age = s.or("upstream-max-age", Duration::from_secs(300));
        let (connect, resolve, response, idle) = (connect?, resolve?, response?, idle?);
        if [connect, resolve, response, idle].iter().any(Duration::is_zero) {
            return s.refuse_together(
                &["connect-timeout", "resolve-timeout", "response-timeout", "idle-timeout"],
                format!(
                    "connect-timeout, resolve-timeout, response-timeout and idle-timeout of service {name} must not be 0s"
                ),
            );
        }
        Some(Self {
            connect,
            resolve,
            response,
            idle,
            client_idle: client_idle?,
            upstream_idle: upstream_idle?,
            upstream_max_age: upstream_max_age?,
        })
    }
}

impl Target {
    /// For bytes.
    fn plain(address: HostPort) -> Self {
        Self {
            host: address.to_string(),
            address,
            weight: 1.0,
            priority: 0,
            prefix: String::new(),
            secure: None,
            health: None,
        }
    }

    fn new(
        EndpointUrl {
            scheme,
            url,
            weight,
            priority,
        }: EndpointUrl,
        security: Option<&Security>,
        health: Option<&Health>,
    ) -> Result<Self, String> {
        let name = &url.address.host;
        let secure = security.filter(|_| scheme.is_encrypted());
        let secure = secure.map(|security| security.towards(name)).transpose()?;
        let health = health.map(|health| health.of(name, security)).transpose()?;
        let mut host = url.address.to_string();
        if scheme.default_port() == Some(url.address.port) {
            host.truncate(host.rfind(':').unwrap_or(host.len()));
        }
        Ok(Self {
            address: url.address,
            host,
            weight: f64::from(weight),
            priority,
            prefix: url.path.trim_end_matches('/').to_owned(),
            secure,
            health,
        })
    }
}

fn rules(s: &mut Settings<'_>) -> Option<Rules> {
    let upgrades = s.list::<Upgrade>("upgrade");
    let lenient = s.list::<Lenient>("lenient")?;
    let mut upgrades: Vec<String> = upgrades?.into_iter().map(|upgrade| upgrade.0).collect();
    if upgrades.is_empty() {
        upgrades.push("websocket".into());
    }
    Some(Rules {
        upgrades,
        equal_lengths: lenient.contains(&Lenient::EqualLengths),
        bare_line_feeds: lenient.contains(&Lenient::BareLineFeeds),
        hash_by: None,
    })
}

/// The scheme that the endpoints of a service have in common.
fn scheme(name: &str, to: &[EndpointUrl], s: &mut Settings<'_>) -> Option<Scheme> {
    let scheme = to.first()?.scheme;
    if to.iter().any(|url| url.scheme != scheme) {
        return s.refuse_together(
            &["to"],
            format!("the endpoints of service {name} have different schemes; one service speaks one protocol"),
        );
    }
    let protocol = scheme.protocol();
    if protocol == Protocol::Http2 {
        for name in OF_HTTP1 {
            s.pointless(name, "the endpoints speak HTTP/2");
        }
    }
    if !protocol.has_requests() {
        for name in OF_HTTP1.iter().chain(&OF_HTTP) {
            s.pointless(name, "the endpoints carry bytes, and no requests");
        }
    }
    Some(scheme)
}

const OF_HTTP1: [&str; 3] = ["connect", "upgrade", "lenient"];

const OF_HTTP: [&str; 9] = [
    "access-log",
    "host",
    "response-timeout",
    "client-idle",
    "upstream-idle",
    "upstream-max-age",
    "max-requests",
    "max-head",
    "retries",
];
