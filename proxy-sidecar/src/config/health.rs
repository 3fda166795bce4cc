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
}

/// What is asked, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthUrl {
    question: Question,
    port: Option<u16>,
    is_encrypted: bool,
}

impl Setting for HealthUrl {
    const FORM: &'static str = "http://*:PORT/PATH, https://*/PATH, tcp://*:PORT or tcp://*, where * is each endpoint";

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://*").ok_or("its host is not *")?;
        if !rest.is_empty() && !rest.starts_with([':', '/', '?']) {
            return Err("after *, there is a port or a path".into());
        }
        let (is_encrypted, is_http) = match scheme {
            "http" => (false, true),
            "https" => (true, true),
            "tcp" => (false, false),
            _ => return Err(format!("the scheme {scheme:?} is not one of http, https, tcp")),
        };
        let url = Url::with_scheme(&format!("http://endpoint{rest}"), &["http"])?;
        if !is_http && url.path != "/" {
            return Err("tcp asks for a connection, and for no path".into());
        }
        if !url.path.is_ascii() {
            return Err("its path has characters that have to be escaped (%C3%A9)".into());
        }
        Ok(Self {
            question: if is_http {
                Question::Get(url.path)
            } else {
                Question::Connect
            },
            port: rest.starts_with(':').then_some(url.address.port),
            is_encrypted,
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
    is_encrypted: bool,
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
        Some(Some(Self {
            check,
            is_encrypted: url.is_encrypted,
        }))
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Of the endpoint that the URL calls `host`.
    pub(super) fn of(&self, host: &str, security: Option<&Security>) -> Result<Check, String> {
        let secure = security.filter(|_| self.is_encrypted);
        Ok(Check {
            secure: secure.map(|security| security.asking(host)).transpose()?,
            ..self.check.clone()
        })
    }
}
