//! Settings of a server.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{DEFAULT_VERSIONS, ServerConfig};

use super::material::Material;
use crate::start::exit::{Failure, USAGE};

/// TLS 1.2 and 1.3 with the identity of `material`. With `ask_clients`, only clients are served whose certificate leads to one of its
/// CAs.
pub fn server(material: &Material, ask_clients: bool, alpn: &[&str]) -> Result<ServerConfig, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot set up TLS: {error}"));
    let Some(identity) = &material.identity else {
        return Err(Failure::new(USAGE, "a server needs a certificate and its key"));
    };
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| fail(&error))?;
    if ask_clients && !material.is_own {
        return Err(Failure::new(
            USAGE,
            "a server that asks clients for a certificate needs the CA that they are of",
        ));
    }
    let builder = if ask_clients {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&material.roots), provider).build();
        builder.with_client_cert_verifier(verifier.map_err(|error| fail(&error))?)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.0))));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}
