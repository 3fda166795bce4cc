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
    /// The same, for checks: another protocol may be offered.
    asking: Rc<Renewing>,
    /// In the place of the hosts in their URLs.
    name: Option<ServerName<'static>>,
    start: Option<StartTls>,
    /// Whoever answers is believed.
    pub(super) is_insecure: bool,
}

impl Security {
    /// Reads certificates; the inner `None` for a service that speaks no TLS, neither by its `scheme` nor in a `check`, which offers this.
    pub(super) fn prove(
        scheme: Scheme,
        check: Option<&'static [&'static str]>,
        s: &mut Settings<'_>,
    ) -> Option<Option<Self>> {
        let (tls, name) = (Tls::prove(s), s.optional::<TlsName>("tls-name"));
        if !scheme.is_encrypted() && check.is_none() {
            for name in tls::NAMES.iter().chain(&["tls-name"]) {
                s.pointless(
                    name,
                    "the endpoints are not spoken to in TLS; say https://, h2://, grpcs://, tls:// or postgres://",
                );
            }
            return Some(None);
        }
        let (tls, name) = (tls?, name?);
        let is_insecure = tls.trust == Trust::Anybody;
        let renewing = |alpn| Renewing::new(tls.clone(), alpn).map(Rc::new);
        let both = renewing(scheme.alpn()).and_then(|certificates| {
            let asking = match check {
                Some(alpn) if alpn != scheme.alpn() => renewing(alpn)?,
                _ => Rc::clone(&certificates),
            };
            Ok((certificates, asking))
        });
        match both {
            Ok((certificates, asking)) => Some(Some(Self {
                certificates,
                asking,
                name: name.map(|TlsName(name)| name),
                start: scheme.starttls(),
                is_insecure,
            })),
            Err(failure) => s.refuse(failure.to_string()),
        }
    }

    /// Towards the endpoint that the URL calls `host`.
    pub(super) fn towards(&self, host: &str) -> Result<Secure, String> {
        self.secure(host, &self.certificates, self.start)
    }

    /// Towards the same, when it is asked how it is.
    pub(super) fn asking(&self, host: &str) -> Result<Secure, String> {
        self.secure(host, &self.asking, None)
    }

    fn secure(&self, host: &str, certificates: &Rc<Renewing>, start: Option<StartTls>) -> Result<Secure, String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let name = TlsName::parse(host);
                name.map_err(|why| format!("no certificate can be for {host}: {why}; give --tls-name"))?
                    .0
            }
        };
        Ok(Secure {
            certificates: Rc::clone(certificates),
            name,
            start,
        })
    }
}
