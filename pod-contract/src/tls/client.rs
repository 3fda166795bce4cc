//! Settings of a client.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring::default_provider;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DEFAULT_VERSIONS};

use super::material::Material;
use super::pinned::{Anybody, Pinned};
use crate::start::exit::Failure;

/// Sessions to resume; each is some KiB.
const SESSIONS: usize = 32;

/// Whom a client believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Servers whose certificate leads to a trusted CA, or is itself one that was given, and is for their name and of today.
    Verified,
    /// Everybody. Whoever is on the way can read and change everything: to be told loudly, and shown by a gauge where there are any.
    Anybody,
}

/// TLS 1.2 and 1.3, with the server's name sent, sessions resumed, and the protocols `alpn` offered in this order, such as `http/1.1`.
pub fn client(material: &Material, trust: Trust, alpn: &[&str]) -> Result<ClientConfig, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot set up TLS: {error}"));
    let provider = Arc::new(default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anybody => Arc::new(Anybody(Arc::clone(&provider))),
        Trust::Verified => {
            let roots = Arc::clone(&material.roots);
            let by_chain = if roots.is_empty() {
                None
            } else {
                let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
                Some(built.map_err(|error| fail(&error))?)
            };
            Arc::new(Pinned {
                by_chain,
                given: material.given.clone(),
                provider: Arc::clone(&provider),
            })
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| fail(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &material.identity {
        Some(identity) => {
            let pair = SingleCertAndKey::from(Arc::clone(&identity.0));
            builder.with_client_cert_resolver(Arc::new(pair))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}
