//! Signatures by a public key that is given, in both forms that cosign writes.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use testbed::process::code_and_stderr;

use super::{Content, INDEX, MANIFEST, pull};
use crate::web::Site;
use crate::{Volume, assert_done, assert_refused, text};

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A file with the public halves.
fn public(volume: &Volume, keys: &[&KeyPair]) -> String {
    let path = volume.dir.path().join("cosign.pub");
    let text: String = keys.iter().map(|key| key.public_key_pem()).collect();
    fs::write(&path, text).unwrap();
    format!("--cosign-key={}", path.display())
}

fn simple(digest: &str) -> Value {
    json!({"critical": {
        "identity": {"docker-reference": "registry.example/team/app"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }, "optional": null})
}

fn statement(digest: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.strip_prefix("sha256:").unwrap()}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

impl Content {
    /// As `cosign sign` of version 2 does.
    fn sign_by_tag(&self, digest: &str, signed: &[(&Value, &KeyPair)]) {
        let layers: Vec<Value> = signed
            .iter()
            .map(|(payload, key)| {
                let payload = serde_json::to_vec(payload).unwrap();
                let mut layer = self.blob(&payload);
                layer["mediaType"] = json!(SIMPLE);
                let signature = STANDARD.encode(key.sign(&payload).unwrap());
                layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
                layer
            })
            .collect();
        self.manifest(&format!("{}.sig", digest.replace(':', "-")), &layers);
    }

    /// As version 3 does; `list` is where the list of referrers is.
    fn sign_by_bundle(&self, list: &str, payload: &Value, key: &KeyPair) {
        let payload = serde_json::to_vec(payload).unwrap();
        let head = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len());
        let signature = key.sign(&[head.as_bytes(), &payload].concat()).unwrap();
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": STANDARD.encode(signature)}],
            },
        });
        let mut layer = self.blob(&serde_json::to_vec(&bundle).unwrap());
        layer["mediaType"] = json!(BUNDLE);
        let digest = self.manifest("unnamed", &[layer]);
        let size = self.0.lock().unwrap()[&format!("/v2/team/app/manifests/{digest}")]
            .1
            .len();
        // What cosign 3 writes under a tag.
        let kind = "application/vnd.oci.empty.v1+json";
        let found = json!({"mediaType": MANIFEST, "artifactType": kind, "digest": digest, "size": size});
        let sbom = self.manifest("unnamed", &[self.file("sbom.json", b"{}")]);
        let other = json!({"mediaType": MANIFEST, "artifactType": "application/sbom", "digest": sbom, "size": 1});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, found]});
        self.put(list, INDEX, &serde_json::to_vec(&index).unwrap());
    }
}

#[test]
fn what_the_key_has_signed_is_pulled() {
    let (own, other) = (key(), key());
    for form in ["tag", "referrers", "list under a tag"] {
        let content = Content::default();
        let digest = content.manifest("v1", &[content.file("a", b"a")]);
        match form {
            "tag" => content.sign_by_tag(&digest, &[(&simple(&digest), &other), (&simple(&digest), &own)]),
            "referrers" => content.sign_by_bundle(&format!("referrers/{digest}"), &statement(&digest), &own),
            _ => content.sign_by_bundle(
                &format!("manifests/{}", digest.replace(':', "-")),
                &statement(&digest),
                &own,
            ),
        }
        let registry = content.registry();
        for name in [":v1".to_owned(), format!("@{digest}")] {
            let volume = Volume::new();
            let flag = public(&volume, &[&own]);
            assert_done(&pull(&volume, &registry.host(), &[&flag], &name));
            assert_eq!(volume.names(), ["a"], "{form}");
            let again = pull(&volume, &registry.host(), &[&flag], &name);
            assert!(code_and_stderr(&again).1.contains("nothing to do"));
        }
        // While a key is changed for another one, both are given.
        let volume = Volume::new();
        assert_done(&pull(
            &volume,
            &registry.host(),
            &[&public(&volume, &[&key(), &own])],
            ":v1",
        ));

        let volume = Volume::new();
        let output = pull(&volume, &registry.host(), &[&public(&volume, &[&key()])], ":v1");
        assert_refused(&output, 11, &["not by a key that was given", &digest]);
        assert!(volume.names().is_empty());
    }
}

#[test]
fn what_is_not_signed_is_refused_before_anything_is_fetched() {
    let content = Content::default();
    let digest = content.manifest("v1", &[content.file("a", b"a")]);
    let registry = content.registry();
    let volume = Volume::new();
    let output = pull(&volume, &registry.host(), &[&public(&volume, &[&key()])], ":v1");
    assert_refused(
        &output,
        11,
        &["has no signature of cosign", &digest, "cosign sign --key"],
    );
    assert!(volume.names().is_empty());
    assert!(registry.targets().iter().all(|target| !target.contains("/blobs/")));
}

#[test]
fn a_signature_is_for_its_digest_and_its_purpose() {
    let own = key();
    let other = format!("sha256:{}", "b".repeat(64));
    let wrong = |change: &dyn Fn(&Content, &str)| {
        let content = Content::default();
        let digest = content.manifest("v1", &[content.file("a", b"a")]);
        change(&content, &digest);
        let volume = Volume::new();
        let output = pull(&volume, &content.registry().host(), &[&public(&volume, &[&own])], ":v1");
        assert_refused(&output, 11, &[]);
        assert!(volume.names().is_empty());
    };
    let of_another_kind = |digest: &str| {
        let mut simple = simple(digest);
        simple["critical"]["type"] = json!("atomic container signature");
        simple
    };
    let of_another_purpose = |digest: &str| {
        let mut statement = statement(digest);
        statement["predicateType"] = json!("https://slsa.dev/provenance/v1");
        statement
    };
    let list = |digest: &str| format!("referrers/{digest}");
    wrong(&|content, digest| content.sign_by_tag(digest, &[(&simple(&other), &own)]));
    wrong(&|content, digest| content.sign_by_tag(digest, &[(&of_another_kind(digest), &own)]));
    wrong(&|content, digest| content.sign_by_tag(digest, &[(&json!("nothing"), &own)]));
    wrong(&|content, digest| content.sign_by_bundle(&list(digest), &statement(&other), &own));
    wrong(&|content, digest| content.sign_by_bundle(&list(digest), &of_another_purpose(digest), &own));
    // Another payload under a good signature.
    wrong(&|content, digest| {
        content.sign_by_tag(digest, &[(&simple(&other), &own)]);
        let path = format!("/v2/team/app/manifests/{}.sig", digest.replace(':', "-"));
        let mut manifest: Value = {
            let documents = content.0.lock().unwrap();
            serde_json::from_slice(&documents[&path].1).unwrap()
        };
        let signature = manifest["layers"][0]["annotations"].clone();
        manifest["layers"][0] = content.blob(&serde_json::to_vec(&simple(digest)).unwrap());
        manifest["layers"][0]["mediaType"] = json!(SIMPLE);
        manifest["layers"][0]["annotations"] = signature;
        content.document(&format!("{}.sig", digest.replace(':', "-")), MANIFEST, &manifest);
    });
    // What is no manifest at all.
    wrong(&|content, digest| {
        content.put(&format!("manifests/{}.sig", digest.replace(':', "-")), MANIFEST, b"{}");
        content.put(&list(digest), INDEX, b"[]");
    });
}

#[test]
fn of_an_index_the_index_is_signed() {
    let own = key();
    let content = Content::default();
    let inner = content.manifest("amd64", &[content.file("a", b"a")]);
    let size = content.0.lock().unwrap()[&format!("/v2/team/app/manifests/{inner}")]
        .1
        .len();
    let entry = json!({"mediaType": MANIFEST, "digest": inner, "size": size});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let digest = content.document("v1", INDEX, &index);
    content.sign_by_tag(&inner, &[(&simple(&inner), &own)]);
    let registry = content.registry();
    let volume = Volume::new();
    let flag = public(&volume, &[&own]);
    assert_refused(&pull(&volume, &registry.host(), &[&flag], ":v1"), 11, &[&digest]);
    content.sign_by_tag(&digest, &[(&simple(&digest), &own)]);
    assert_done(&pull(&volume, &registry.host(), &[&flag], ":v1"));
}

#[test]
fn what_is_in_place_without_a_key_is_proved_anew_with_one() {
    let own = key();
    let content = Content::default();
    let digest = content.manifest("v1", &[content.file("a", b"a")]);
    let registry = content.registry();
    let (volume, pin) = (Volume::new(), format!("@{digest}"));
    assert_done(&pull(&volume, &registry.host(), &[], &pin));
    let flag = public(&volume, &[&own]);
    assert_refused(&pull(&volume, &registry.host(), &[&flag], &pin), 11, &["no signature"]);
    assert_eq!(volume.names(), ["a"]);
    content.sign_by_tag(&digest, &[(&simple(&digest), &own)]);
    assert_done(&pull(&volume, &registry.host(), &[&flag], &pin));
    let before = registry.requests().len();
    assert_done(&pull(&volume, &registry.host(), &[&flag], &pin));
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn a_registry_in_trouble_is_no_registry_without_signatures() {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"a")]);
    let registry = Site::start(move |_, request| match request.target.contains(".sig") {
        true => testbed::http::Reply::text(403, ""),
        false => content.answer(request),
    });
    let volume = Volume::new();
    let flag = public(&volume, &[&key()]);
    assert_refused(&pull(&volume, &registry.host(), &[&flag], ":v1"), 13, &["answers 403"]);
}

#[test]
fn a_file_without_usable_keys_is_a_mistake() {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"a")]);
    let registry = content.registry();
    let volume = Volume::new();
    let path = volume.dir.path().join("key");
    let flag = format!("--cosign-key={}", path.display());
    let pem = |der: &[u8]| {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    };
    let mut unknown = key().subject_public_key_info();
    // Another curve.
    let at = unknown
        .windows(8)
        .position(|bytes| bytes == [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    unknown[at.unwrap() + 7] = 1;
    for (file, told) in [
        (key().serialize_pem(), "no public key"),
        ("nothing".to_owned(), "no public key"),
        (pem(b"\x30\x00"), ":1: it is of no kind"),
        (
            format!("{}{}", key().public_key_pem(), pem(&unknown)),
            ":5: it is of no kind",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----\n".to_owned(),
            ":1: the PEM section is broken",
        ),
    ] {
        fs::write(&path, file).unwrap();
        assert_refused(&pull(&volume, &registry.host(), &[&flag], ":v1"), 2, &[told]);
    }
    fs::remove_file(&path).unwrap();
    assert_refused(&pull(&volume, &registry.host(), &[&flag], ":v1"), 2, &[&text(&path)]);
    let args = [flag.as_str(), &text(&volume.source("tree")), &text(&volume.dest(""))];
    let output = crate::web::init_copy(&args).output().unwrap();
    assert_refused(&output, 2, &["no source is an oci:// one"]);
    assert!(registry.requests().is_empty());
}
