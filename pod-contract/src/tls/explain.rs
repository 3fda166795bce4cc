//! Why a handshake failed: its name, its chain, its date or its protocol, and what helps.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The error of TLS, if that is what failed: it comes in one of the standard library's, or in several of them.
pub fn cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Error> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => cause(inner),
        None => error.downcast_ref(),
    }
}

/// What failed, and the remedy, on one line; `None` if TLS is not what failed.
pub fn explained(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let (why, remedy) = explain(cause(error)?);
    Some(match remedy {
        "" => format!("TLS: {why}"),
        remedy => format!("TLS: {why}; remedy: {remedy}"),
    })
}

/// What failed, and the remedy.
pub fn explain(error: &Error) -> (String, &'static str) {
    match error {
        Error::InvalidCertificate(why) => certificate(why),
        Error::NoCertificatesPresented => (
            "the server shows no certificate".into(),
            "check that this port speaks TLS as a server",
        ),
        Error::AlertReceived(alert) => (format!("the server ends TLS with {alert:?}"), alerted(*alert)),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            "the server speaks neither TLS 1.2 nor TLS 1.3".into(),
            "let the server offer TLS 1.2 or 1.3; older ones are broken",
        ),
        Error::PeerIncompatible(why) => (
            format!("the server's TLS and ours have nothing in common: {why:?}"),
            "let the server offer TLS 1.2 or 1.3 with a usual cipher suite",
        ),
        Error::InvalidMessage(_) => (
            format!("what answers does not speak TLS: {error}"),
            "is it a plain http:// port, or one that talks TLS only after another protocol?",
        ),
        other => (other.to_string(), ""),
    }
}

fn certificate(why: &CertificateError) -> (String, &'static str) {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            format!("the server's certificate has expired: {why}"),
            "renew the server's certificate; and compare the clock here with that of the server",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            format!("the server's certificate is not valid yet: {why}"),
            "compare the clock here with that of the server",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the server's certificate is for another name: {why}"),
            "ask the server by a name that is in its certificate, or have the name added to it",
        ),
        CertificateError::UnknownIssuer => (
            "the server's certificate does not lead to a CA that is trusted".into(),
            "give the CA's certificate with --ca; if it is there, let the server send its intermediate certificates too",
        ),
        CertificateError::BadSignature | CertificateError::UnsupportedSignatureAlgorithmContext { .. } => (
            format!("the server's certificate has a signature that does not hold: {why}"),
            "give the certificate of the very CA that signed it; one of the same name is not enough",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            format!("the server's certificate is not one for servers: {why}"),
            "have it issued with the extended key usage serverAuth",
        ),
        CertificateError::Other(_) => (
            format!("the server's certificate is refused: {why}"),
            "if the server shows the certificate of a CA itself, give that very certificate with --ca",
        ),
        other => (
            format!("the server's certificate is refused: {other}"),
            "look at it with openssl s_client -showcerts",
        ),
    }
}

fn alerted(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::AccessDenied => {
            "it wants a client certificate, or another one: give certificate and key of a CA that the server trusts"
        }
        AlertDescription::ProtocolVersion => "let the server offer TLS 1.2 or 1.3",
        AlertDescription::UnrecognisedName => "the server knows no such name: ask for one that it serves",
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "it wants a client certificate, or no cipher suite of ours: see the server's log"
        }
        _ => "see the server's log",
    }
}
