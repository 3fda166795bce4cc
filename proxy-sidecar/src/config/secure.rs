//! How the endpoints of a service are spoken to in TLS, proved.

use std::rc::Rc;

use pod_contract::config::{Setting as _, Settings};
use pod_contract::tls::{self, Renewing, Tls, Trust};
use rustls::pki_types::ServerName;

use super::words::{Scheme, TlsName};
use crate::dial::Secure;
use crate::starttls::StartTls;

/// What the endpoints of one service have in common.
#[derive(Debug)]
pub(super) struct Security {
    certificates: Rc<Renewing>,
    /// In the place of the hosts in their URLs.
    name: Option<ServerName<'static>>,
    start: Option<StartTls>,
    /// Whoever answers is believed.
    pub(super) is_insecure: bool,
}

impl Security {
    /// Reads certificates; the inner `None` for what is not spoken in TLS.
    pub(super) fn prove(scheme: Scheme, s: &mut Settings<'_>) -> Option<Option<Self>> {
        let (tls, name) = (Tls::prove(s), s.optional::<TlsName>("tls-name"));
        if !scheme.is_encrypted() {
            for name in tls::NAMES.iter().chain(&["tls-name"]) {
                s.pointless(
                    name,
                    "the endpoints are not spoken to in TLS; say https://, tls:// or postgres://",
                );
            }
            return Some(None);
        }
        let (tls, name) = (tls?, name?);
        let is_insecure = tls.trust == Trust::Anybody;
        match Renewing::new(tls, scheme.alpn()) {
            Ok(certificates) => Some(Some(Self {
                certificates: Rc::new(certificates),
                name: name.map(|TlsName(name)| name),
                start: scheme.starttls(),
                is_insecure,
            })),
            Err(failure) => s.refuse(failure.to_string()),
        }
    }

    /// Towards the endpoint that the URL calls `host`.
    pub(super) fn towards(&self, host: &str) -> Result<Secure, String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => TlsName::parse(host)?.0,
        };
        Ok(Secure {
            certificates: Rc::clone(&self.certificates),
            name,
            start: self.start,
        })
    }
}
