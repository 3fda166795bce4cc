//! PEM files, with the line of each mistake. Source: RFC 7468.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};

use crate::start::exit::{Failure, USAGE};

/// A bundle of all public CAs has some 200 KiB.
const MAX_BYTES: u64 = 4 << 20;

/// One section, and the line of its first mark.
struct Section {
    line: usize,
    kind: SectionKind,
    bytes: Vec<u8>,
}

/// The certificates in a file, with the line of each; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<(usize, CertificateDer<'static>)>, Failure> {
    let sections = sections(path)?;
    let found: Vec<_> = sections
        .into_iter()
        .filter(|section| matches!(section.kind, SectionKind::Certificate))
        .map(|section| (section.line, CertificateDer::from(section.bytes)))
        .collect();
    if found.is_empty() {
        return Err(failure(path, "it holds no certificate").remedy(
            "a PEM file has -----BEGIN CERTIFICATE----- in it; DER is turned into that by openssl x509 -inform der",
        ));
    }
    Ok(found)
}

/// The public keys in a file, with the line of each; at least one.
///
/// # Errors
/// When it cannot be read, is broken, or holds none.
pub fn public_keys(path: &Path) -> Result<Vec<(usize, SubjectPublicKeyInfoDer<'static>)>, Failure> {
    let sections = sections(path)?.into_iter();
    let keys = sections.filter(|section| matches!(section.kind, SectionKind::PublicKey));
    let found: Vec<_> = keys
        .map(|section| (section.line, SubjectPublicKeyInfoDer::from(section.bytes)))
        .collect();
    if found.is_empty() {
        return Err(failure(path, "it holds no public key").remedy(
            "a PEM file has -----BEGIN PUBLIC KEY----- in it; openssl pkey -pubout writes that of a private key",
        ));
    }
    Ok(found)
}

/// The one private key in a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let mut keys = sections(path)?.into_iter().filter_map(|section| match section.kind {
        SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(section.bytes.into())),
        SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(section.bytes.into())),
        SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(section.bytes.into())),
        _ => None,
    });
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(failure(path, "it holds several private keys")),
        (None, _) => Err(failure(path, "it holds no private key that is not encrypted")
            .remedy("openssl pkey writes one without a password; let its file be readable for this user only")),
    }
}

fn sections(path: &Path) -> Result<Vec<Section>, Failure> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    read.map_err(|error| failure(path, &error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(failure(path, &format!("it has more than {MAX_BYTES} bytes")));
    }
    let mut found = Vec::new();
    // From mark to mark: the parser itself does not tell where it is.
    for (line, section) in marked(&text) {
        for parsed in <(SectionKind, Vec<u8>)>::pem_slice_iter(section) {
            let (kind, bytes) = parsed.map_err(|error| {
                Failure::new(
                    USAGE,
                    format!("{}:{line}: the PEM section is broken: {error}", path.display()),
                )
            })?;
            found.push(Section { line, kind, bytes });
        }
    }
    Ok(found)
}

/// The parts of `text` that begin with a line `-----BEGIN …`, with its number from 1.
fn marked(text: &[u8]) -> Vec<(usize, &[u8])> {
    let mut starts = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        if line.starts_with(b"-----BEGIN ") {
            starts.push((number + 1, at));
        }
        at += line.len();
    }
    let ends = starts.iter().map(|&(_, at)| at).skip(1).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&(line, from), to)| (line, &text[from..to]))
        .collect()
}

pub(super) fn failure(path: &Path, why: &str) -> Failure {
    Failure::new(USAGE, format!("cannot use {}: {why}", path.display()))
}
