//! Certificates and keys from files, read and used as one unit.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::Trust;
use super::certificate::is_authority;
use super::pem;
use crate::start::exit::{Failure, USAGE};

/// Where certificates and keys are, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// CAs to trust in place of the embedded ones; without it, `SSL_CERT_FILE` counts.
    pub ca: Option<PathBuf>,
    /// The own certificate and what leads from it to a CA, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What we show of ourselves.
#[derive(Debug, Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

/// What was read: to be used as a whole, so that a certificate is never shown with the key of another.
#[derive(Debug, Clone)]
pub struct Material {
    pub(super) roots: Arc<RootCertStore>,
    /// Trusted as they are, when the server itself shows one of them; only those of CAs are among the roots too.
    pub(super) given: Vec<CertificateDer<'static>>,
    /// The roots are those of `Sources::ca`, and not whatever a variable or this binary brings.
    pub(super) is_own: bool,
    pub(super) identity: Option<Identity>,
}

impl Sources {
    /// The file of CAs: the configured one, or that of `SSL_CERT_FILE`.
    fn ca(&self) -> Option<PathBuf> {
        let by_variable = || std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
        self.ca.clone().or_else(|| by_variable().map(PathBuf::from))
    }

    /// All files that are read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca().into_iter().chain(identity.cloned()).collect()
    }

    /// Reads everything anew. An error leaves whatever was read before to be used on: a pair of which one half is new is one.
    pub fn load(&self, trust: Trust) -> Result<Material, Failure> {
        let mut given = Vec::new();
        let mut roots = RootCertStore::empty();
        match self.ca() {
            // Nobody is asked who he is.
            _ if trust == Trust::Anybody => {}
            Some(path) => {
                for (line, certificate) in pem::certificates(&path)? {
                    // One that is no CA vouches for itself alone: an anchor is not asked whether it may sign.
                    let mut unused = RootCertStore::empty();
                    let anchors = if is_authority(&certificate) {
                        &mut roots
                    } else {
                        &mut unused
                    };
                    anchors.add(certificate.clone()).map_err(|error| {
                        Failure::new(
                            USAGE,
                            format!("{}:{line}: this is no certificate: {error}", path.display()),
                        )
                    })?;
                    given.push(certificate);
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let identity = match &self.identity {
            Some((certificate, key)) => Some(Identity::load(certificate, key)?),
            None => None,
        };
        Ok(Material {
            roots: Arc::new(roots),
            given,
            is_own: self.ca.is_some(),
            identity,
        })
    }
}

impl Identity {
    fn load(certificate: &std::path::Path, key: &std::path::Path) -> Result<Self, Failure> {
        let chain: Vec<_> = pem::certificates(certificate)?
            .into_iter()
            .map(|(_, der)| der)
            .collect();
        let signer = any_supported_type(&pem::key(key)?).map_err(|error| pem::failure(key, &error.to_string()))?;
        let pair = CertifiedKey::new(chain, signer);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self(Arc::new(pair))),
            Err(rustls::Error::InconsistentKeys(_)) => Err(Failure::new(
                USAGE,
                format!(
                    "the certificate {} is not of the key {}",
                    certificate.display(),
                    key.display()
                ),
            )
            .remedy("give the two files of one pair, the own certificate first in its file")),
            Err(error) => Err(pem::failure(certificate, &error.to_string())
                .remedy("let it be issued as X.509 version 3, which has extensions")),
        }
    }
}
