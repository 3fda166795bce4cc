//! Flags and the proved configuration: named services, each with its own listener and endpoints.

mod balancing;
mod flags;
mod health;
mod secure;
mod service;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pod_contract::admin::{self, meets};
use pod_contract::config::Settings;
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::units::HostPort;

pub(crate) use balancing::{Balance, Balancing};
use flags::service_flags;
pub(crate) use flags::{AFTER_HELP, SECTIONS, flags};
pub(crate) use health::{Check, Question};
pub(crate) use service::{Protocol, ServiceConfig, Target};
pub(crate) use words::HostHeader;

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
            if service
                .targets
                .iter()
                .chain(&service.connects)
                .any(|target| is_at(&target.address, service.listen))
            {
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
