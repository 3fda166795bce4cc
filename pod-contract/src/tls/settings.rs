//! The settings of a client's TLS, the same in every binary.

use std::path::PathBuf;

use super::{Sources, Trust};
use crate::config::{Flag, Settings, setting, switch};

/// Whom to trust, and what to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where certificates and keys are.
    pub sources: Sources,
    /// Whom to believe.
    pub trust: Trust,
}

/// What those settings are called.
pub const NAMES: [&str; 4] = ["ca", "client-certificate", "client-key", "tls-insecure"];

/// `--ca`, `--client-certificate`, `--client-key` and `--tls-insecure`.
pub fn flags() -> Vec<Flag> {
    vec![
        setting::<PathBuf>(
            "ca",
            "FILE",
            "CA certificates in PEM to trust instead of the built-in ones, or that of the server itself [default: $SSL_CERT_FILE]",
        ),
        setting::<PathBuf>(
            "client-certificate",
            "FILE",
            "Certificate in PEM to show to servers that ask for one, with what leads from it to its CA",
        ),
        setting::<PathBuf>("client-key", "FILE", "The key of --client-certificate in PEM"),
        switch(
            "tls-insecure",
            "Believe any server: whoever is on the way reads and changes everything",
        ),
    ]
}

impl Tls {
    /// Reads those settings; `None` after a mistake was noted.
    pub fn prove(settings: &mut Settings<'_>) -> Option<Self> {
        let ca = settings.optional::<PathBuf>("ca");
        let certificate = settings.optional::<PathBuf>("client-certificate");
        let key = settings.optional::<PathBuf>("client-key");
        let insecure = settings.or("tls-insecure", false);
        let identity = match (certificate?, key?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return settings.refuse_together(
                    &["client-certificate", "client-key"],
                    "client-certificate and client-key are given together",
                );
            }
        };
        let (ca, insecure) = (ca?, insecure?);
        if insecure && ca.is_some() {
            return settings.refuse_together(&["ca", "tls-insecure"], "with tls-insecure, no CA is asked for");
        }
        Some(Self {
            sources: Sources { ca, identity },
            trust: if insecure { Trust::Anybody } else { Trust::Verified },
        })
    }
}
