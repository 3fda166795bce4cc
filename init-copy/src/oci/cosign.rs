//! Signatures that cosign puts beside an artifact, by a public key that is given.
//!
//! Sources: cosign's `SIGNATURE_SPEC.md` (tag `sha256-HEX.sig`) and `BUNDLE_SPEC.md` (referrers); OCI Distribution Specification 1.1,
//! "Listing Referrers"; DSSE 1.0 "Protocol"; in-toto Statement v1. Transparency logs are not asked: the key is trusted by itself.

use std::borrow::Cow;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pod_contract::start::exit::{Failure, USAGE};
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use webpki::{RawPublicKeyEntity, ring};

use super::manifest::{Descriptor, EMPTY, Manifest, or_default};
use super::registry::Registry;
use crate::error::{DIGEST, Error};
use pod_contract::units::hex;

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Of a bundle, without its version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What is signed in a bundle.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// What a statement has to say of its subject; there are others, such as what it was built from.
const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Bytes of what is signed and of what it is in; some hundred are usual, and some thousand.
const MAX_BYTES: u64 = 256 << 10;
/// More beside one artifact are not looked at.
const MAX_SIGNATURES: usize = 100;

/// What cosign signs with, but for P-521.
const ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 7] = [
    ring::ECDSA_P256_SHA256,
    // Up to version 2.5 of cosign, and since.
    ring::ECDSA_P384_SHA256,
    ring::ECDSA_P384_SHA384,
    ring::ED25519,
    ring::RSA_PKCS1_2048_8192_SHA256,
    ring::RSA_PKCS1_2048_8192_SHA384,
    ring::RSA_PKCS1_2048_8192_SHA512,
];

/// Of which one has to have signed.
#[derive(Debug)]
pub(crate) struct PublicKeys {
    keys: Vec<SubjectPublicKeyInfoDer<'static>>,
    /// Tells them from others.
    pub(crate) mark: String,
}

impl PublicKeys {
    /// All in a PEM file: while keys are changed, there are two.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let found = pod_contract::tls::public_keys(path)?;
        let mut digest = Sha256::new();
        let mut keys = Vec::new();
        for (line, key) in found {
            if !is_known(&key) {
                let cause = format!(
                    "cannot use {}:{line}: it is of no kind that cosign signs with",
                    path.display()
                );
                return Err(Failure::new(USAGE, cause).remedy("give a key of ECDSA P-256 or P-384, Ed25519, or RSA"));
            }
            digest.update(key.as_ref());
            keys.push(key);
        }
        Ok(Self {
            keys,
            mark: hex(&digest.finalize()[..8]),
        })
    }

    fn have_signed(&self, claim: &Claim) -> bool {
        let message = claim.message();
        self.keys.iter().any(|key| {
            RawPublicKeyEntity::try_from(key).is_ok_and(|key| {
                let verify = |algorithm: &&dyn SignatureVerificationAlgorithm| {
                    key.verify_signature(*algorithm, &message, &claim.signature).is_ok()
                };
                ALGORITHMS.iter().any(verify)
            })
        })
    }
}

fn is_known(key: &SubjectPublicKeyInfoDer<'_>) -> bool {
    use webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext as OfAnotherKind;
    let Ok(key) = RawPublicKeyEntity::try_from(key) else {
        return false;
    };
    let mut tried = ALGORITHMS
        .iter()
        .map(|algorithm| key.verify_signature(*algorithm, b"", b""));
    tried.any(|outcome| !matches!(outcome, Err(OfAnotherKind(_))))
}

/// Something signed.
#[derive(Debug)]
struct Claim {
    form: Form,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// The payload itself, "simple signing" of container images.
    Simple,
    /// A statement in an envelope.
    Statement,
}

impl Claim {
    /// What the signature is over.
    fn message(&self) -> Cow<'_, [u8]> {
        match self.form {
            Form::Simple => Cow::Borrowed(&self.payload),
            Form::Statement => {
                let head = format!("DSSEv1 {} {STATEMENT} {} ", STATEMENT.len(), self.payload.len());
                [head.as_bytes(), &self.payload].concat().into()
            }
        }
    }

    /// Is it the artifact with this digest that was signed?
    fn is_of(&self, digest: &str) -> bool {
        match self.form {
            Form::Simple => serde_json::from_slice::<Simple>(&self.payload).is_ok_and(|simple| {
                simple.critical.kind == "cosign container image signature" && simple.critical.image.digest == digest
            }),
            Form::Statement => serde_json::from_slice::<Statement>(&self.payload).is_ok_and(|statement| {
                let is_it = |subject: &Subject| digest.strip_prefix("sha256:") == Some(&*subject.digest.sha256);
                statement.predicate_type == PREDICATE && statement.subject.iter().any(is_it)
            }),
        }
    }
}

#[derive(Deserialize)]
struct Simple {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    #[serde(deserialize_with = "or_default")]
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// Fails unless one of the keys has signed the manifest or index with this digest.
pub(super) fn verify(registry: &Registry<'_>, label: &str, digest: &str, keys: &PublicKeys) -> Result<(), Error> {
    let name = digest.replace(':', "-");
    let mut seen = 0;
    // One after the other: nobody knows yet who wrote them.
    let mut is_right = |claim: &Claim| {
        seen += 1;
        keys.have_signed(claim) && claim.is_of(digest)
    };
    if by_tag(registry, &format!("{name}.sig"), &mut is_right)? || by_referrers(registry, digest, &name, &mut is_right)?
    {
        tracing::debug!(artifact = label, digest, "its signature is right");
        return Ok(());
    }
    let cause = match seen {
        0 => format!("{label} has no signature of cosign for {digest}"),
        _ => format!("{label} is signed, but not by a key that was given: {seen} signatures for {digest}"),
    };
    let remedy = "sign it with cosign sign --key, and give the public key to it; signatures without a key (by certificate) are not verified";
    Err(Error::new(DIGEST, cause, remedy))
}

fn by_tag(registry: &Registry<'_>, tag: &str, is_right: &mut impl FnMut(&Claim) -> bool) -> Result<bool, Error> {
    let manifest = find(registry, "manifests", tag)?.unwrap_or_default();
    let signed = manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE);
    for layer in signed.take(MAX_SIGNATURES) {
        let signature = layer
            .annotations
            .get(SIGNATURE)
            .and_then(|text| STANDARD.decode(text).ok());
        let Some(signature) = signature else { continue };
        let claim = Claim {
            form: Form::Simple,
            payload: content(registry, "blobs", layer)?,
            signature,
        };
        if is_right(&claim) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn by_referrers(
    registry: &Registry<'_>,
    digest: &str,
    tag: &str,
    is_right: &mut impl FnMut(&Claim) -> bool,
) -> Result<bool, Error> {
    // A registry without that list has it under a tag, written by whoever attached something.
    let index = match find(registry, "referrers", digest)? {
        Some(index) => Some(index),
        None => find(registry, "manifests", tag)?,
    };
    let referrers = index.unwrap_or_default().manifests;
    for descriptor in referrers
        .iter()
        .filter(|found| may_be_bundle(found))
        .take(MAX_SIGNATURES)
    {
        let Some(manifest) = Manifest::parse(&content(registry, "manifests", descriptor)?).ok() else {
            continue;
        };
        let bundle = manifest
            .layers
            .iter()
            .find(|layer| layer.media_type.starts_with(BUNDLE));
        let Some(bundle) = bundle else { continue };
        if of_bundle(&content(registry, "blobs", bundle)?).is_some_and(|claim| is_right(&claim)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Not all that write the list say in it what they attached.
fn may_be_bundle(found: &Descriptor) -> bool {
    let kind = &*found.artifact_type;
    kind.is_empty() || kind == EMPTY || kind.starts_with(BUNDLE)
}

/// None of a bundle that holds something else, such as a signature over a file.
fn of_bundle(bundle: &[u8]) -> Option<Claim> {
    let envelope = serde_json::from_slice::<Bundle>(bundle).ok()?.dsse_envelope;
    let [signature] = envelope.signatures.as_slice() else {
        return None;
    };
    (envelope.payload_type == STATEMENT).then_some(())?;
    Some(Claim {
        form: Form::Statement,
        payload: STANDARD.decode(&envelope.payload).ok()?,
        signature: STANDARD.decode(&signature.sig).ok()?,
    })
}

/// `None` when there is nothing, or nothing that is understood.
fn find(registry: &Registry<'_>, kind: &str, name: &str) -> Result<Option<Manifest>, Error> {
    let found = registry.find(kind, name)?;
    Ok(found.and_then(|bytes| Manifest::parse(&bytes).ok()))
}

/// What a descriptor points to, proved by its digest.
fn content(registry: &Registry<'_>, kind: &str, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    if descriptor.size > MAX_BYTES {
        let url = registry.url(kind, &descriptor.digest)?;
        let cause = format!("{url} has {} bytes, which no signature has", descriptor.size);
        return Err(Error::new(DIGEST, cause, "look at what is attached there, and by whom"));
    }
    registry.get(kind, &descriptor.digest).map(|(_, bytes)| bytes)
}
