//! Flags and the proved configuration: named services, each with its own listener and endpoints.

mod flags;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pod_contract::admin::{self, meets};
use pod_contract::config::{Setting, Settings, Shape, Word};
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::units::{Bytes, HostPort, Url};

use flags::service_flags;
pub(crate) use flags::{AFTER_HELP, SECTIONS, flags};

const ADMIN_PORT: u16 = 9602;
/// Everything that the proxy serves.
#[derive(Debug)]
pub struct Config {
    pub(crate) services: Vec<ServiceConfig>,
    pub(crate) drain_quiet: Duration,
    pub(crate) grace: Duration,
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

/// One listener and the cluster behind it.
#[derive(Debug, Clone)]
pub(crate) struct ServiceConfig {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) endpoints: Vec<HostPort>,
    pub(crate) host: HostHeader,
    pub(crate) connect_timeout: Duration,
    pub(crate) resolve_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) client_idle: Duration,
    pub(crate) upstream_idle: Duration,
    pub(crate) upstream_max_age: Duration,
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

/// An endpoint as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EndpointUrl(Url);

impl Setting for EndpointUrl {
    const FORM: &'static str = "http://HOST:PORT or tcp://HOST:PORT";

    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::with_scheme(text, &["http", "tcp"])?;
        if url.path != "/" {
            return Err(format!("it has a path, {:?}; the application's path is used", url.path));
        }
        Ok(Self(url))
    }
}

/// A count from 1 up.
struct Count(usize);

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
struct Tries(u32);

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

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let drain_quiet = s.or("drain-quiet", Duration::from_secs(1));
        let grace = s.or("grace", DEFAULT_GRACE);
        let dns = s.list::<SocketAddr>("dns");
        let admin = admin::prove(s, ADMIN_PORT);
        let sections = s.sections("services")?;
        if !sections.is_empty() {
            for flag in service_flags() {
                s.pointless(flag.name(), "with services in the file, it is said in each of them");
            }
        }
        let services = if sections.is_empty() {
            ServiceConfig::prove("default".into(), s).map(|service| vec![service])
        } else {
            let prove = |(name, mut section): (String, Settings<'_>)| {
                let service = ServiceConfig::prove(name, &mut section);
                section.finish(service.is_some());
                service
            };
            // Collected first: the mistakes of every section are noted.
            let proved: Vec<_> = sections.into_iter().map(prove).collect();
            proved.into_iter().collect()
        };
        let services: Vec<ServiceConfig> = services?;
        for (index, service) in services.iter().enumerate() {
            if let Some(other) = services[..index]
                .iter()
                .find(|other| other.listen == service.listen && service.listen.port() != 0)
            {
                return s.refuse(format!(
                    "services {} and {} both listen on {}",
                    other.name, service.name, service.listen
                ));
            }
        }
        let (drain_quiet, grace, dns, admin) = (drain_quiet?, grace?, dns?, admin?);
        for service in &services {
            if service.endpoints.iter().any(|endpoint| is_at(endpoint, service.listen)) {
                return s.refuse(format!(
                    "service {} would connect to itself at {}",
                    service.name, service.listen
                ));
            }
        }
        if let Some(service) = services.iter().find(|service| meets(Some(service.listen), admin)) {
            return s.refuse_together(
                &["listen", "admin"],
                format!(
                    "service {} and the admin side both listen on {}",
                    service.name, service.listen
                ),
            );
        }
        Some(Self {
            services,
            drain_quiet,
            grace,
            dns,
            admin,
        })
    }
}

/// Is the endpoint, as far as its text tells, the address that is listened on?
fn is_at(endpoint: &HostPort, listen: SocketAddr) -> bool {
    let host = if endpoint.host == "localhost" {
        "127.0.0.1"
    } else {
        &endpoint.host
    };
    let ip: Option<IpAddr> = host.parse().ok();
    endpoint.port == listen.port()
        && ip.is_some_and(|ip| ip == listen.ip() || (listen.ip().is_unspecified() && ip.is_loopback()))
}

impl ServiceConfig {
    fn prove(name: String, s: &mut Settings<'_>) -> Option<Self> {
        let listen = s.required("listen");
        let to = s.required_list::<EndpointUrl>("to");
        let host = s.or("host", HostHeader::Rewrite);
        let connect_timeout = s.or("connect-timeout", Duration::from_secs(4));
        let resolve_timeout = s.or("resolve-timeout", Duration::from_secs(5));
        let response_timeout = s.or("response-timeout", Duration::from_secs(60));
        let idle_timeout = s.or("idle-timeout", Duration::from_secs(300));
        let client_idle = s.or("client-idle", Duration::from_secs(600));
        let upstream_idle = s.or("upstream-idle", Duration::from_secs(4));
        let upstream_max_age = s.or("upstream-max-age", Duration::from_secs(300));
        let max_connections = s.or("max-connections", Count(4096));
        let max_requests = s.or("max-requests", Count(512));
        let max_head = s.or("max-head", Bytes(16 * 1024));
        let retries = s.or("retries", Tries(2));
        let (connect_timeout, response_timeout, idle_timeout) = (connect_timeout?, response_timeout?, idle_timeout?);
        let resolve_timeout = resolve_timeout?;
        let needed = [connect_timeout, resolve_timeout, response_timeout, idle_timeout];
        if needed.iter().any(Duration::is_zero) {
            return s.refuse_together(
                &["connect-timeout", "resolve-timeout", "response-timeout", "idle-timeout"],
                format!(
                    "connect-timeout, resolve-timeout, response-timeout and idle-timeout of service {name} must not be 0s"
                ),
            );
        }
        let (to, max_head) = (to?, max_head?.as_usize());
        if !(256..=1 << 20).contains(&max_head) {
            return s.refuse_together(
                &["max-head"],
                format!("max-head of service {name} has to be from 256B to 1MiB"),
            );
        }
        let protocol = protocol(&name, &to, s)?;
        Some(Self {
            name,
            listen: listen?,
            protocol,
            endpoints: to.into_iter().map(|url| url.0.address).collect(),
            host: host?,
            connect_timeout,
            resolve_timeout,
            response_timeout,
            idle_timeout,
            client_idle: client_idle?,
            upstream_idle: upstream_idle?,
            upstream_max_age: upstream_max_age?,
            max_connections: max_connections?.0,
            max_requests: max_requests?.0,
            max_head,
            retries: retries?.0,
        })
    }
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
