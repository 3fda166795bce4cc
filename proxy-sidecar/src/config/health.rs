//! How endpoints are checked, proved.

use std::time::Duration;

use pod_contract::config::{Setting, Settings, Word};
use pod_contract::units::Url;

use super::secure::Security;
use crate::dial::Secure;

/// How one endpoint is checked.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) question: Question,
    /// Another one than that of the traffic.
    pub(crate) port: Option<u16>,
    pub(crate) secure: Option<Secure>,
    pub(crate) interval: Duration,
    /// For the whole of it.
    pub(crate) timeout: Duration,
    /// Only endpoints that pass are used at all.
    pub(crate) is_required: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Does it take a connection?
    Connect,
    /// Does it answer this path with a status from 200 to 399?
    Get(String),
    /// Does it say of this service, by `grpc.health.v1`, that it serves? Empty is the whole server.
    Call(String),
}

/// What is asked, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthUrl {
    question: Question,
    port: Option<u16>,
    /// What is spoken in TLS, if that is how it is asked.
    alpn: Option<Alpn>,
}

type Alpn = &'static [&'static str];

impl Setting for HealthUrl {
    const FORM: &'static str = "http://*:PORT/PATH, https://*/PATH, grpc://*/SERVICE, grpcs://*, tcp://*:PORT or tcp://*, where * is each endpoint";

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://*").ok_or("its host is not *")?;
        if !rest.is_empty() && !rest.starts_with([':', '/', '?']) {
            return Err("after *, there is a port or a path".into());
        }
        let alpn: Option<Alpn> = match scheme {
            "https" => Some(&["http/1.1"]),
            "grpcs" => Some(&["h2"]),
            "http" | "grpc" | "tcp" => None,
            _ => {
                return Err(format!(
                    "the scheme {scheme:?} is not one of http, https, grpc, grpcs, tcp"
                ));
            }
        };
        let url = Url::with_scheme(&format!("http://endpoint{rest}"), &["http"])?;
        let question = match scheme {
            "tcp" if url.path != "/" => return Err("tcp asks for a connection, and for no path".into()),
            "tcp" => Question::Connect,
            "grpc" | "grpcs" => {
                let service = url.path.trim_start_matches('/');
                if service.contains(['/', '?']) || service.len() > 127 {
                    return Err("after /, there is the name of a service, such as my.package.Orders".into());
                }
                Question::Call(service.to_owned())
            }
            _ => Question::Get(url.path.clone()),
        };
        if !url.path.is_ascii() {
            return Err("its path has characters that have to be escaped (%C3%A9)".into());
        }
        Ok(Self {
            question,
            port: rest.starts_with(':').then_some(url.address.port),
            alpn,
        })
    }
}

/// What becomes of endpoints that do not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthPolicy {
    /// They are used when none passes.
    Prefer,
    Require,
}

impl Word for HealthPolicy {
    const FORM: &'static str = "prefer or require";
    const WORDS: &'static [(&'static str, Self)] = &[("prefer", Self::Prefer), ("require", Self::Require)];
}

/// The checks of one service.
pub(super) struct Health {
    check: Check,
    alpn: Option<Alpn>,
}

impl Health {
    /// The inner `None` when nothing is checked.
    pub(super) fn prove(name: &str, s: &mut Settings<'_>) -> Option<Option<Self>> {
        let url = s.optional::<HealthUrl>("health");
        let interval = s.or("health-interval", Duration::from_secs(2));
        let timeout = s.or("health-timeout", Duration::from_secs(1));
        let unfit = s.or("health-policy", HealthPolicy::Prefer);
        let Some(url) = url? else {
            for name in ["health-interval", "health-timeout", "health-policy"] {
                s.pointless(name, "nothing is checked; say --health");
            }
            return Some(None);
        };
        let (interval, timeout) = (interval?, timeout?);
        if interval.is_zero() || timeout.is_zero() {
            return s.refuse_together(
                &["health-interval", "health-timeout"],
                format!("health-interval and health-timeout of service {name} must not be 0s"),
            );
        }
        let check = Check {
            question: url.question,
            port: url.port,
            secure: None,
            interval,
            timeout,
            is_required: unfit? == HealthPolicy::Require,
        };
        Some(Some(Self { check, alpn: url.alpn }))
    }

    /// What is offered in a TLS handshake, if that is how endpoints are asked.
    pub(super) fn alpn(&self) -> Option<Alpn> {
        self.alpn
    }

    /// Of the endpoint that the URL calls `host`.
    pub(super) fn of(&self, host: &str, security: Option<&Security>) -> Result<Check, String> {
        let secure = security.filter(|_| self.alpn.is_some());
        Ok(Check {
            secure: secure.map(|security| security.asking(host)).transpose()?,
            ..self.check.clone()
        })
    }
}
