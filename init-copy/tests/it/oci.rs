//! Artifacts, from a registry that behaves and from those that do not.

mod credentials;
mod hostile;
mod images;
mod pull;
mod signatures;

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use testbed::http::{Reply, Request};

use crate::web::{Site, full, init_copy, sha256};
use crate::{Volume, text};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const TITLE: &str = "org.opencontainers.image.title";

/// By path: media type and bytes.
type Documents = BTreeMap<String, (String, Vec<u8>)>;

/// Manifests by tag and digest, blobs by digest, below `/v2/team/app`.
#[derive(Debug, Clone, Default)]
struct Content(Arc<Mutex<Documents>>);

impl Content {
    fn put(&self, path: &str, kind: &str, bytes: &[u8]) {
        let entry = (kind.to_owned(), bytes.to_vec());
        self.0.lock().unwrap().insert(format!("/v2/team/app/{path}"), entry);
    }

    /// Stores it under its digest, and returns a descriptor.
    fn blob(&self, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", sha256(bytes));
        self.put(&format!("blobs/{digest}"), "application/octet-stream", bytes);
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
    }

    /// A layer for a file.
    fn file(&self, title: &str, bytes: &[u8]) -> Value {
        let mut layer = self.blob(bytes);
        layer["annotations"] = json!({TITLE: title});
        layer
    }

    /// Stores a manifest or an index under its digest and a tag; returns the digest.
    fn document(&self, tag: &str, kind: &str, document: &Value) -> String {
        let bytes = serde_json::to_vec(document).unwrap();
        let digest = format!("sha256:{}", sha256(&bytes));
        for name in [tag, &digest] {
            self.put(&format!("manifests/{name}"), kind, &bytes);
        }
        digest
    }

    fn manifest(&self, tag: &str, layers: &[Value]) -> String {
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": format!("sha256:{}", sha256(b"{}")), "size": 2});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.document(tag, MANIFEST, &manifest)
    }

    fn answer(&self, request: &Request) -> Reply {
        match self.0.lock().unwrap().get(&request.target) {
            Some((kind, bytes)) => Reply::new(200, kind, bytes.clone()),
            None => Reply::new(
                404,
                "application/json",
                "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}",
            ),
        }
    }

    fn registry(&self) -> Site {
        let content = self.clone();
        Site::start(move |_, request| content.answer(request))
    }
}

/// Runs `init-copy --plain-http FLAGS oci://registry/team/app:tag DEST/`.
fn pull(volume: &Volume, registry: &str, flags: &[&str], name: &str) -> Output {
    let (reference, dest) = (format!("oci://{registry}/team/app{name}"), text(&volume.dest("")));
    let mut args = vec!["--plain-http"];
    args.extend(flags);
    args.extend([reference.as_str(), &dest]);
    init_copy(&args).output().unwrap()
}

/// A registry that wants to see this, and says what it wants otherwise.
fn guarded(content: &Content, challenge: String, expected: &'static str) -> Site {
    let content = content.clone();
    Site::start(move |_, request| match request.header("authorization") {
        Some(found) if found == expected => content.answer(request),
        _ => full(401, &[("WWW-Authenticate", &challenge)], b"{}"),
    })
}
