use serde_json::{Value, json};
use testbed::http::Reply;

use super::{Content, INDEX, MANIFEST, pull};
use crate::web::{Site, full};
use crate::{Volume, assert_done, assert_refused};

/// Refused, and nothing of it is to be seen.
#[track_caller]
fn refused(registry: &Site, name: &str, code: i32, words: &[&str]) {
    let volume = Volume::new();
    assert_refused(&pull(&volume, &registry.host(), &["--tries=1"], name), code, words);
    let visible: Vec<_> = volume
        .names()
        .into_iter()
        .filter(|name| !name.starts_with(".init-copy-part-"))
        .collect();
    assert!(visible.is_empty(), "{visible:?}");
}

#[test]
fn titles_that_lead_outside_are_refused() {
    for title in ["../x", "/x", "a/../b", "..", "a\\..\\b", "", ".", "a\0b", "a\n"] {
        let content = Content::default();
        content.manifest("v1", &[content.file("good", b"good"), content.file(title, b"bad")]);
        let registry = content.registry();
        refused(&registry, ":v1", 18, &["which is refused"]);
        assert_eq!(registry.requests().len(), 1, "no layer is fetched");
    }
}

#[test]
fn names_that_collide_or_are_ours_are_refused() {
    for titles in [["a", "a"], ["a", "./a"], ["a", "a/b"], ["a", ".init-copy.receipt"]] {
        let content = Content::default();
        let layers = titles.map(|title| content.file(title, title.as_bytes()));
        content.manifest("v1", &layers);
        refused(&content.registry(), ":v1", 16, &[]);
    }
}

#[test]
fn a_packed_directory_cannot_lead_outside() {
    let content = Content::default();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "dir/link", "../../../etc").unwrap();
    let mut layer = content.file("dir", &builder.into_inner().unwrap());
    layer["annotations"]["io.deis.oras.content.unpack"] = json!("true");
    content.manifest("v1", &[layer]);
    refused(&content.registry(), ":v1", 18, &["leads out of"]);
}

#[test]
fn a_manifest_that_is_another_is_refused() {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"a")]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let other = content.0.lock().unwrap()["/v2/team/app/manifests/v1"].1.clone();
    content.put(&format!("manifests/{wrong}"), MANIFEST, &other);
    let registry = content.registry();
    refused(
        &registry,
        &format!("@{wrong}"),
        11,
        &["is not what was asked for", &wrong],
    );

    // A tag has no digest but the one that the registry tells.
    let told = wrong.clone();
    let lying = Site::start(move |_, _| full(200, &[("Docker-Content-Digest", &told)], &other));
    refused(&lying, ":v1", 11, &["is not what was asked for", &wrong]);

    // Of an index, the manifest is pinned as well.
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": wrong, "size": 1}]});
    content.document("index", INDEX, &index);
    refused(&registry, ":index", 11, &["is not what was asked for"]);
}

#[test]
fn a_layer_that_is_another_is_refused() {
    let content = Content::default();
    let layer = content.file("a", b"right");
    content.put(&format!("blobs/{}", layer["digest"].as_str().unwrap()), "x", b"wrong");
    content.manifest("v1", &[content.file("good", b"good"), layer]);
    let volume = Volume::new();
    let registry = content.registry();
    assert_refused(
        &pull(&volume, &registry.host(), &[], ":v1"),
        11,
        &["is not what was asked for"],
    );
    assert!(!volume.dest("good").exists() && !volume.dest("a").exists());
}

#[test]
fn a_layer_of_another_size_is_refused() {
    for size in [4, 6] {
        let content = Content::default();
        let mut layer = content.file("a", b"right");
        layer["size"] = json!(size);
        content.manifest("v1", &[layer]);
        refused(
            &content.registry(),
            ":v1",
            12,
            &["5 bytes", &format!("{size} were announced")],
        );
    }
}

#[test]
fn content_on_other_servers_is_not_fetched() {
    let elsewhere = Site::serving("content");
    let content = Content::default();
    let mut layer = content.file("a", b"content");
    layer["urls"] = json!([elsewhere.url("/a")]);
    content.manifest("v1", &[layer]);
    refused(&content.registry(), ":v1", 18, &["urls"]);
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn documents_that_are_no_manifests_are_refused() {
    let content = Content::default();
    let nested = content.document(
        "nested",
        INDEX,
        &json!({"schemaVersion": 2, "manifests": [{"digest": format!("sha256:{}", "a".repeat(64))}]}),
    );
    let md5 = content.file("a", b"a");
    let documents: [(&str, Value); 5] = [
        ("schema", json!({"schemaVersion": 1})),
        ("list", json!([])),
        (
            "md5",
            json!({"schemaVersion": 2, "layers": [{"digest": "md5:00", "size": 1}]}),
        ),
        ("many", json!({"schemaVersion": 2, "layers": vec![md5; 1001]})),
        (
            "deep",
            json!({"schemaVersion": 2, "manifests": [{"mediaType": INDEX, "digest": nested, "size": 1}]}),
        ),
    ];
    for (tag, document) in &documents {
        content.document(tag, MANIFEST, document);
    }
    content.put("manifests/page", "text/html", b"<html>sign in</html>");
    let registry = content.registry();
    for tag in ["schema", "list", "md5", "many", "deep", "page"] {
        refused(&registry, &format!(":{tag}"), 18, &["is refused"]);
    }
    let endless = Site::start(|_, _| Reply::text(200, vec![b' '; 9 << 20]));
    refused(&endless, ":v1", 12, &["has more than"]);
}

#[test]
fn blobs_may_lie_elsewhere_and_are_not_shown_the_credentials() {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"content")]);
    let store = Site::serving("content");
    let location = store.url("/store?signature=confidential");
    let registry = Site::start(move |_, request| {
        if request.header("authorization").is_none() {
            return full(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], b"");
        }
        if request.target.contains("/blobs/") {
            return full(307, &[("Location", &location)], b"");
        }
        content.answer(request)
    });
    let volume = Volume::new();
    let password = volume.dir.path().join("password");
    std::fs::write(&password, "secret-word").unwrap();
    let password = format!("--password=file:{}", crate::text(&password));
    let flags = ["--username=user", &password, "--log-level=debug"];
    let output = pull(&volume, &registry.host(), &flags, ":v1");
    assert_done(&output);
    assert_eq!(volume.names(), ["a"]);
    assert_eq!(store.headers("authorization"), [None]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!log.contains("confidential") && !log.contains("secret-word"), "{log}");
    assert!(registry.headers("authorization").last().unwrap().is_some());
}
