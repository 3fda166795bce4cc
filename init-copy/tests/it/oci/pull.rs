use std::fs;
use std::io::Write as _;

use serde_json::json;
use testbed::http::Reply;
use testbed::process::code_and_stderr;

use super::{Content, INDEX, MANIFEST, TITLE, pull};
use crate::archives::tar_writer::{link, member, tar};
use crate::archives::{gzip, zstd};
use crate::web::{Site, full, interrupted, rest, sha256};
use crate::{Volume, assert_done, assert_refused};

#[test]
fn an_artifact_becomes_its_files() {
    let content = Content::default();
    let layers = [
        content.file("model.bin", &[7; 100_000]),
        content.file("sub/dir/config.json", b"{}"),
        content.file("empty", b""),
    ];
    let digest = content.manifest("v1", &layers);
    let registry = content.registry();
    for name in [":v1".to_owned(), format!("@{digest}"), format!(":gone@{digest}")] {
        let volume = Volume::new();
        assert_done(&pull(&volume, &registry.host(), &[], &name));
        assert_eq!(
            volume.names(),
            ["empty", "model.bin", "sub", "sub/dir", "sub/dir/config.json"],
            "{name}"
        );
        assert_eq!(fs::read(volume.dest("model.bin")).unwrap(), [7; 100_000]);
        assert_eq!(fs::read_to_string(volume.dest("sub/dir/config.json")).unwrap(), "{}");
    }
    let accepted = registry.headers("accept")[0].clone().unwrap();
    assert!(accepted.contains(MANIFEST) && accepted.contains(INDEX), "{accepted}");
}

#[test]
fn without_a_tag_it_is_the_latest() {
    let content = Content::default();
    content.manifest("latest", &[content.file("a", b"a")]);
    let registry = content.registry();
    assert_done(&pull(&Volume::new(), &registry.host(), &[], ""));
    assert_eq!(registry.targets()[0], "/v2/team/app/manifests/latest");
}

#[test]
fn two_files_with_the_same_content_are_two_files() {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"same"), content.file("dir/b", b"same")]);
    let registry = content.registry();
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    assert_eq!(volume.names(), ["a", "dir", "dir/b"]);
    for name in ["a", "dir/b"] {
        assert_eq!(fs::read_to_string(volume.dest(name)).unwrap(), "same");
    }
    let again = pull(&volume, &registry.host(), &[], ":v1");
    assert!(
        code_and_stderr(&again).1.contains("nothing to do"),
        "{:?}",
        code_and_stderr(&again)
    );
}

#[test]
fn a_pinned_artifact_is_asked_for_once_and_a_tag_for_its_manifest() {
    let content = Content::default();
    let digest = content.manifest("v1", &[content.file("dir/a", b"a"), content.file("b", b"b")]);
    let registry = content.registry();
    let host = registry.host();
    let (pinned, tagged) = (Volume::new(), Volume::new());
    let pin = format!("@{digest}");
    assert_done(&pull(&pinned, &host, &[], &pin));
    assert_done(&pull(&tagged, &host, &[], ":v1"));
    let before = registry.requests().len();
    let again = pull(&tagged, &host, &[], ":v1");
    assert!(
        code_and_stderr(&again).1.contains("nothing to do"),
        "{:?}",
        code_and_stderr(&again)
    );
    assert_eq!(registry.targets()[before..], ["/v2/team/app/manifests/v1"]);

    content.manifest("v1", &[content.file("b", b"new")]);
    assert_done(&pull(&tagged, &host, &["--prune"], ":v1"));
    assert_eq!(tagged.names(), ["b"]);
    assert_eq!(fs::read_to_string(tagged.dest("b")).unwrap(), "new");

    drop(registry);
    let again = pull(&pinned, &host, &["--tries=1"], &pin);
    assert_done(&again);
    assert!(
        code_and_stderr(&again).1.contains("nothing to do"),
        "{:?}",
        code_and_stderr(&again)
    );
}

#[test]
fn of_an_index_the_platform_is_chosen() {
    let content = Content::default();
    let entry = |platform: &str| {
        let digest = content.manifest("unused", &[content.file("name", platform.as_bytes())]);
        let (os, architecture) = platform.split_once('/').unwrap();
        json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": {"os": os, "architecture": architecture}})
    };
    let all = [entry("linux/amd64"), entry("linux/arm64"), entry("windows/amd64")];
    content.document(
        "v1",
        INDEX,
        &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all}),
    );
    let registry = content.registry();
    for platform in ["linux/arm64", "windows/amd64"] {
        let volume = Volume::new();
        assert_done(&pull(
            &volume,
            &registry.host(),
            &[&format!("--platform={platform}")],
            ":v1",
        ));
        assert_eq!(fs::read_to_string(volume.dest("name")).unwrap(), platform);
    }
    let own = if cfg!(target_arch = "aarch64") {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    assert_eq!(fs::read_to_string(volume.dest("name")).unwrap(), own);
    let output = pull(&Volume::new(), &registry.host(), &["--platform=linux/s390x"], ":v1");
    assert_refused(&output, 10, &["nothing for linux/s390x", "windows/amd64", "--platform"]);
}

#[test]
fn a_packed_directory_is_unpacked() {
    let content = Content::default();
    let pack = |name: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, b"x".as_slice()).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&builder.into_inner().unwrap()).unwrap();
        encoder.finish().unwrap()
    };
    // oras packs a directory under its own name.
    let mut packed = content.file("static", &pack("static/css/main.css"));
    packed["annotations"]["io.deis.oras.content.unpack"] = json!("true");
    content.manifest(
        "v1",
        &[
            packed,
            content.file("app.war", b"war"),
            content.file("kept.tgz", &pack("x")),
        ],
    );
    let registry = content.registry();
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    let names = ["app.war", "kept.tgz", "static", "static/css", "static/css/main.css"];
    assert_eq!(volume.names(), names);
    let again = pull(&volume, &registry.host(), &[], ":v1");
    assert!(
        code_and_stderr(&again).1.contains("nothing to do"),
        "{:?}",
        code_and_stderr(&again)
    );
}

#[test]
fn layers_are_left_out_and_limited() {
    let content = Content::default();
    content.manifest(
        "v1",
        &[content.file("a.txt", &[b'a'; 600]), content.file("b.md", &[b'b'; 400])],
    );
    let registry = content.registry();
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &["--exclude=*.md"], ":v1"));
    assert_eq!(volume.names(), ["a.txt"]);
    for (limit, good) in [(999, false), (1000, true), (1001, true)] {
        let volume = Volume::new();
        let output = pull(&volume, &registry.host(), &[&format!("--max-bytes={limit}B")], ":v1");
        if good {
            assert_done(&output);
        } else {
            assert_refused(&output, 14, &["--max-bytes"]);
            assert!(!volume.dest("a.txt").exists());
        }
    }
}

#[test]
fn a_layer_that_was_reset_goes_on_where_it_was() {
    let content = Content::default();
    let bytes = crate::web::content();
    content.manifest("v1", &[content.file("large", &bytes)]);
    let registry = Site::start(move |before, request| match before {
        0 => content.answer(request),
        1 => interrupted(&bytes, &[]),
        _ => rest(request, &bytes, &[]),
    });
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    assert_eq!(volume.names(), ["large"]);
    assert_eq!(fs::read(volume.dest("large")).unwrap(), crate::web::content());
    assert!(registry.headers("range")[2].is_some());
}

#[test]
fn a_registry_that_fails_is_asked_again() {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"a")]);
    let registry = Site::start(move |before, request| match before {
        0 => Reply::text(503, ""),
        2 => full(429, &[("Retry-After", "0")], b""),
        _ => content.answer(request),
    });
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    assert_eq!(volume.names(), ["a"]);
}

#[test]
fn what_is_no_artifact_is_refused() {
    let content = Content::default();
    content.manifest("image", &[content.blob(b"a layer of an image")]);
    content.manifest("empty", &[]);
    content.manifest("half", &[content.file("a", b"a"), content.blob(b"b")]);
    let annotation = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": format!("sha256:{}", "a".repeat(64)), "size": 2, "annotations": {TITLE: "x"}});
    content.manifest("annotations", &[annotation]);
    let registry = content.registry();
    for (tag, word) in [
        ("image", "without a title"),
        ("half", "without a title"),
        ("empty", "holds no files"),
        ("annotations", "holds no files"),
        ("absent", "answers 404"),
    ] {
        let volume = Volume::new();
        let output = pull(&volume, &registry.host(), &[], &format!(":{tag}"));
        assert_refused(&output, 10, &[word]);
        assert!(volume.names().is_empty());
    }
}

#[test]
fn another_platform_or_exclusion_is_noticed_with_a_pinned_digest() {
    let content = Content::default();
    let of = |architecture: &str| {
        let digest = content.manifest(
            architecture,
            &[content.file("a", architecture.as_bytes()), content.file("b", b"b")],
        );
        let size = content.0.lock().unwrap()[&format!("/v2/team/app/manifests/{digest}")]
            .1
            .len();
        json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [of("amd64"), of("arm64")]});
    let pin = format!("@{}", content.document("v1", INDEX, &index));
    let registry = content.registry();
    let volume = Volume::new();
    for architecture in ["amd64", "arm64"] {
        let platform = format!("--platform=linux/{architecture}");
        assert_done(&pull(&volume, &registry.host(), &[&platform, "--exclude=b"], &pin));
        assert_eq!(fs::read_to_string(volume.dest("a")).unwrap(), architecture);
    }
    assert_eq!(volume.names(), ["a"]);
    assert_done(&pull(&volume, &registry.host(), &["--platform=linux/arm64"], &pin));
    assert_eq!(volume.names(), ["a", "b"]);
}

#[test]
fn the_links_of_a_packed_directory_are_never_followed_outside() {
    let content = Content::default();
    let packed = gzip(&tar(&[link("dir/l", b'2', "/etc/passwd")]));
    let mut layer = content.file("dir", &packed);
    layer["annotations"]["io.deis.oras.content.unpack"] = json!("true");
    layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
    content.manifest("v1", &[layer]);
    let registry = content.registry();
    for flags in [&[][..], &["--links=follow"], &["--links=refuse"]] {
        let volume = Volume::new();
        assert_refused(&pull(&volume, &registry.host(), flags, ":v1"), 18, &["/etc/passwd"]);
        assert!(volume.names().is_empty());
    }
    assert_done(&pull(&Volume::new(), &registry.host(), &["--links=keep"], ":v1"));
}

#[test]
fn what_helm_and_flux_push_without_titles_is_unpacked_by_its_type() {
    let tarred = tar(&[
        member("chart/", b'5', ""),
        member("chart/Chart.yaml", b'0', "name: chart"),
    ]);
    let provenance = "application/vnd.cncf.helm.chart.provenance.v1.prov";
    for (kind, packed) in [
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", gzip(&tarred)),
        ("application/vnd.cncf.flux.content.v1.tar+gzip", gzip(&tarred)),
        ("application/vnd.oci.image.layer.v1.tar+zstd", zstd(&tarred)),
        ("application/vnd.oci.image.layer.v1.tar", tarred.clone()),
    ] {
        let content = Content::default();
        let layer = |kind: &str, bytes: &[u8]| {
            let mut layer = content.blob(bytes);
            layer["mediaType"] = json!(kind);
            layer
        };
        let config = json!({"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": format!("sha256:{}", sha256(b"{}")), "size": 2});
        let layers = [layer(kind, &packed), layer(provenance, b"signed")];
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        content.document("v1", MANIFEST, &manifest);
        let registry = content.registry();
        let volume = Volume::new();
        let output = pull(&volume, &registry.host(), &["--strip-components=1"], ":v1");
        assert_done(&output);
        assert!(code_and_stderr(&output).1.contains("provenance"), "{kind}");
        assert_eq!(volume.names(), ["Chart.yaml"], "{kind}");
        let again = pull(&volume, &registry.host(), &["--strip-components=1"], ":v1");
        assert!(code_and_stderr(&again).1.contains("nothing to do"), "{kind}");
    }
}

#[test]
fn what_has_neither_title_nor_packing_is_named_by_its_type() {
    let content = Content::default();
    let mut layer = content.blob(b"{}");
    layer["mediaType"] = json!("application/vnd.dev.cosign.simplesigning.v1+json");
    content.manifest("v1", &[layer]);
    let registry = content.registry();
    let output = pull(&Volume::new(), &registry.host(), &[], ":v1");
    assert_refused(&output, 10, &["simplesigning", "without a title"]);
}
