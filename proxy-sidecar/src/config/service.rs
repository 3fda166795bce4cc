//! One service, proved: its listener, its cluster, and how requests go from one to the other.

use std::net::SocketAddr;
use std::time::Duration;

use pod_contract::config::Settings;
use pod_contract::units::{Bytes, HostPort};

use super::words::{Balance, Count, EndpointUrl, HostHeader, Lenient, Tries, Upgrade};
use crate::message::head::Rules;

/// One listener and the cluster behind it.
#[derive(Debug, Clone)]
pub(crate) struct ServiceConfig {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) targets: Vec<Target>,
    pub(crate) balance: Balance,
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
    Tcp,
}

/// An endpoint, or a name of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: HostPort,
    /// What Host says: without the scheme's default port.
    pub(crate) host: String,
    /// What its paths begin with, without a slash at the end.
    pub(crate) prefix: String,
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
        let balance = s.optional("balance");
        let rules = rules(s);
        let times = Times::prove(&name, s);
        let max_connections = s.or("max-connections", Count(4096));
        let max_requests = s.or("max-requests", Count(512));
        let max_head = s.or("max-head", Bytes(16 * 1024));
        let retries = s.or("retries", Tries(2));
        let (to, max_head) = (to?, max_head?.as_usize());
        if !(256..=1 << 20).contains(&max_head) {
            return s.refuse_together(
                &["max-head"],
                format!("max-head of service {name} has to be from 256B to 1MiB"),
            );
        }
        let protocol = protocol(&name, &to, s)?;
        let usual = match protocol {
            Protocol::Http => Balance::Least,
            Protocol::Tcp => Balance::Sticky,
        };
        Some(Self {
            name,
            listen: listen?,
            protocol,
            targets: to.into_iter().map(Target::from).collect(),
            balance: balance?.unwrap_or(usual),
            host: host?,
            rules: rules?,
            times: times?,
            max_connections: max_connections?.0,
            max_requests: max_requests?.0,
            max_head,
            retries: retries?.0,
        })
    }
}

impl Times {
    fn prove(name: &str, s: &mut Settings<'_>) -> Option<Self> {
        let connect = s.or("connect-timeout", Duration::from_secs(4));
        let resolve = s.or("resolve-timeout", Duration::from_secs(5));
        let response = s.or("response-timeout", Duration::from_secs(60));
        let idle = s.or("idle-timeout", Duration::from_secs(300));
        let client_idle = s.or("client-idle", Duration::from_secs(600));
        let upstream_idle = s.or("upstream-idle", Duration::from_secs(4));
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

impl From<EndpointUrl> for Target {
    fn from(EndpointUrl(url): EndpointUrl) -> Self {
        let whole = url.address.to_string();
        let host = match whole.strip_suffix(":80") {
            Some(host) if url.scheme == "http" => host.to_owned(),
            _ => whole,
        };
        Self {
            address: url.address,
            host,
            prefix: url.path.trim_end_matches('/').to_owned(),
        }
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
    })
}

/// The protocol of a service, by the scheme that its endpoints have in common.
fn protocol(name: &str, to: &[EndpointUrl], s: &mut Settings<'_>) -> Option<Protocol> {
    if to.iter().all(|url| url.0.scheme == "http") {
        return Some(Protocol::Http);
    }
    if to.iter().any(|url| url.0.scheme != "tcp") {
        return s.refuse_together(
            &["to"],
            format!("the endpoints of service {name} have different schemes; one service speaks one protocol"),
        );
    }
    for name in [
        "host",
        "upgrade",
        "lenient",
        "response-timeout",
        "client-idle",
        "upstream-idle",
        "upstream-max-age",
        "max-requests",
        "max-head",
        "retries",
    ] {
        s.pointless(name, "tcp:// carries bytes, and no requests");
    }
    Some(Protocol::Tcp)
}
