//! Paths out of images. Images as builders make them are taken apart in `testbed/peers`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};
use testbed::process::code_and_stderr;

use super::{Content, MANIFEST, pull};
use crate::archives::tar_writer::{link, member, tar};
use crate::archives::{gzip, zstd};
use crate::{Volume, assert_done, assert_refused, text};

const IMAGE: &str = "application/vnd.oci.image.config.v1+json";

impl Content {
    fn image(&self, tag: &str, layers: &[Vec<u8>]) -> String {
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let mut descriptor = self.blob(layer);
                descriptor["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
                descriptor
            })
            .collect();
        let mut config = self.blob(b"{\"rootfs\":{}}");
        config["mediaType"] = json!(IMAGE);
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.document(tag, MANIFEST, &manifest)
    }
}

fn dir(name: &str) -> Vec<u8> {
    member(name, b'5', "")
}

fn file(name: &str, content: &str) -> Vec<u8> {
    member(name, b'0', content)
}

/// Three layers with all that layers do.
fn application(content: &Content) -> String {
    let base = tar(&[
        dir("./"),
        dir("./usr/"),
        dir("./usr/lib/"),
        file("./usr/lib/libc.so", "libc"),
        link("./lib", b'2', "usr/lib"),
        // What an archive may not have.
        member("./dev/null", b'3', ""),
        file("./usr/lib/odd\\x2dname", "odd"),
        link("./etc/alternatives/java", b'2', "/usr/lib/jvm/bin/java"),
    ]);
    let application = tar(&[
        dir("app/"),
        file("app/app.jar", "version 1"),
        file("app/old.txt", "old"),
        file("app/conf/a.yaml", "a"),
        file("app/conf/b.yaml", "b"),
        link("app/latest", b'2', "app.jar"),
        link("app/hard", b'1', "app/app.jar"),
        file("lib/own.so", "own"),
    ]);
    let above = tar(&[
        dir("app/"),
        file("app/app.jar", "version 2"),
        file("app/.wh.old.txt", ""),
        dir("app/conf/"),
        file("app/conf/.wh..wh..opq", ""),
        file("app/conf/c.yaml", "c"),
    ]);
    content.image("v1", &[gzip(&base), zstd(&application), above])
}

fn read(volume: &Volume, name: &str) -> String {
    fs::read_to_string(volume.dest(name)).unwrap()
}

#[test]
fn a_path_out_of_an_image_is_what_its_layers_add_up_to() {
    let content = Content::default();
    application(&content);
    let registry = content.registry();
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &["--path=/app"], ":v1"));
    let names = [
        "app",
        "app/app.jar",
        "app/conf",
        "app/conf/c.yaml",
        "app/hard",
        "app/latest",
    ];
    assert_eq!(volume.names(), names);
    assert_eq!(read(&volume, "app/app.jar"), "version 2");
    assert_eq!(read(&volume, "app/hard"), "version 1");
    assert_eq!(read(&volume, "app/latest"), "version 2");

    let again = pull(&volume, &registry.host(), &["--path=/app"], ":v1");
    assert!(code_and_stderr(&again).1.contains("nothing to do"));
    assert_eq!(volume.names(), names);
    // Another path is another content.
    assert_done(&pull(
        &volume,
        &registry.host(),
        &["--path=/app/conf/", "--prune"],
        ":v1",
    ));
    assert_eq!(volume.names(), ["c.yaml"]);
}

#[test]
fn a_slash_means_the_contents_and_links_lead_inside_the_image() {
    let content = Content::default();
    application(&content);
    let registry = content.registry();
    for (path, names) in [
        ("/app/conf/", &["c.yaml"][..]),
        ("/app/app.jar", &["app.jar"]),
        ("/app/latest", &["latest"]),
        ("/usr/lib/own.so", &["own.so"]),
        ("/lib/own.so", &["own.so"]),
    ] {
        let volume = Volume::new();
        assert_done(&pull(&volume, &registry.host(), &["--path", path], ":v1"));
        assert_eq!(volume.names(), names, "{path}");
    }
    let volume = Volume::new();
    let flags = ["--path=/lib", "--exclude=odd*"];
    assert_done(&pull(&volume, &registry.host(), &flags, ":v1"));
    assert_eq!(volume.names(), ["lib", "lib/libc.so", "lib/own.so"]);
}

#[test]
fn names_of_one_file_are_links_again_across_layers() {
    let content = Content::default();
    let layers = [
        tar(&[file("bin/busybox", "applets")]),
        tar(&[link("app/sh", b'1', "bin/busybox"), link("app/ls", b'1', "bin/busybox")]),
        tar(&[file("bin/.wh.busybox", "")]),
    ];
    content.image("v1", &layers);
    let registry = content.registry();
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &["--path=/app/"], ":v1"));
    let inode = |name: &str| fs::metadata(volume.dest(name)).unwrap().ino();
    assert_eq!(inode("sh"), inode("ls"));
    assert_eq!(read(&volume, "sh"), "applets");
    assert_refused(
        &pull(&volume, &registry.host(), &["--path=/bin/busybox"], ":v1"),
        10,
        &["has no /bin/busybox"],
    );
}

#[test]
fn what_cannot_be_unpacked_is_refused_only_where_it_is_wanted() {
    let content = Content::default();
    application(&content);
    let registry = content.registry();
    for (path, told) in [
        ("/dev", "device"),
        ("/usr/lib/", "backslash"),
        ("/etc/", "leads out of the destination"),
        ("/", "device"),
    ] {
        let volume = Volume::new();
        assert_refused(&pull(&volume, &registry.host(), &["--path", path], ":v1"), 18, &[told]);
        assert!(volume.names().is_empty(), "{:?}", volume.names());
    }
    let flags = ["--path=/etc/", "--links=keep"];
    assert_done(&pull(&Volume::new(), &registry.host(), &flags, ":v1"));
}

#[test]
fn hostile_layers_are_refused() {
    for (members, told) in [
        (vec![file("app/x", "x"), link("app/y", b'1', "app/none")], "leads to"),
        (vec![dir("app"), file("app/.wh..", "")], "names nothing"),
        (vec![dir("app"), link("app2", b'1', "app")], "which is no file"),
        (
            vec![link("a", b'2', "b"), link("b", b'2', "a"), file("a/x", "x")],
            "circle",
        ),
        (vec![file("app", "x"), file("app/y", "y")], "which is no directory"),
    ] {
        let content = Content::default();
        content.image("v1", &[tar(&members)]);
        let volume = Volume::new();
        let output = pull(&volume, &content.registry().host(), &["--path=/app"], ":v1");
        assert_refused(&output, 18, &[told]);
        assert!(volume.names().is_empty());
    }
    // Names that lead outside are wanted by nobody.
    let content = Content::default();
    content.image(
        "v1",
        &[tar(&[file("../up", "x"), file("/abs", "x"), file("app/x", "x")])],
    );
    let volume = Volume::new();
    let registry = content.registry();
    assert_done(&pull(&volume, &registry.host(), &["--path=/app/"], ":v1"));
    assert_eq!(volume.names(), ["x"]);
    assert!(!volume.dir.path().join("up").exists());
    let volume = Volume::new();
    assert_refused(&pull(&volume, &registry.host(), &["--path=/"], ":v1"), 18, &["refused"]);
    assert!(volume.names().is_empty());
    assert!(!volume.dir.path().join("up").exists());
}

#[test]
fn damaged_layers_are_refused() {
    for layer in [b"no tar at all".to_vec(), gzip(&file("app/x", "x")), Vec::new()] {
        let content = Content::default();
        content.image("v1", &[layer]);
        let volume = Volume::new();
        let output = pull(&volume, &content.registry().host(), &["--path=/app"], ":v1");
        assert_refused(&output, 18, &["is refused"]);
        assert!(volume.names().is_empty(), "{:?}", volume.names());
    }
}

#[test]
fn an_image_has_a_limit_of_files() {
    let content = Content::default();
    content.image("v1", &[tar(&[file("app/a", ""), file("b", ""), file("c", "")])]);
    let registry = content.registry();
    for (max, code) in [("2", 14), ("3", 0)] {
        let output = pull(
            &Volume::new(),
            &registry.host(),
            &["--path=/app/", "--max-entries", max],
            ":v1",
        );
        assert_eq!(output.status.code(), Some(code), "{:?}", code_and_stderr(&output));
    }
}

#[test]
fn images_and_artifacts_are_told_apart() {
    let content = Content::default();
    application(&content);
    content.manifest("files", &[content.file("a", b"a")]);
    let registry = content.registry();
    let volume = Volume::new();
    assert_refused(
        &pull(&volume, &registry.host(), &[], ":v1"),
        10,
        &["it is an image", "--path"],
    );
    assert_refused(
        &pull(&volume, &registry.host(), &["--path=/a"], ":files"),
        10,
        &["it is an artifact", "leave out --path"],
    );
    assert_refused(
        &pull(&volume, &registry.host(), &["--path=/app/app.jar/"], ":v1"),
        10,
        &["has no directory /app/app.jar/"],
    );
    for flags in [
        &["--path=app"][..],
        &["--path=/../x"],
        &["--path=/app", "--unpack"],
        &["--path=/app", "--member=x"],
        &["--path=/app", "--strip-components=1"],
    ] {
        assert_refused(&pull(&volume, &registry.host(), flags, ":v1"), 2, &["path"]);
    }
    let args = ["--path=/app", &text(&volume.source("tree")), &text(&volume.dest(""))];
    let output = crate::web::init_copy(&args).output().unwrap();
    assert_refused(&output, 2, &["no source is an oci:// one"]);
    assert!(volume.names().iter().all(|name| name.starts_with(".init-copy-part-")));
}

#[test]
fn layers_as_other_builders_write_them() {
    let content = Content::default();
    let layers = [
        // nix and kaniko: names from the root, and the root itself.
        tar(&[dir("/"), dir("/nix"), dir("/nix/store"), file("/nix/store/a", "a")]),
        // Docker: a link with two names.
        tar(&[
            file("app/real", "real"),
            link("app/s1", b'2', "real"),
            link("app/s2", b'1', "app/s1"),
        ]),
        // A name of this layer for what lies below, in a directory that was emptied.
        tar(&[
            dir("bin"),
            link("bin/again", b'1', "app/real"),
            file("bin/.wh..wh..opq", ""),
        ]),
    ];
    content.image("v1", &layers);
    let registry = content.registry();
    for (path, names) in [
        ("/nix/", &["store", "store/a"][..]),
        ("/app/", &["real", "s1", "s2"]),
        ("/bin/", &["again"]),
    ] {
        let volume = Volume::new();
        assert_done(&pull(&volume, &registry.host(), &["--path", path], ":v1"));
        assert_eq!(volume.names(), names, "{path}");
        if path == "/app/" {
            for name in ["s1", "s2"] {
                assert_eq!(fs::read_link(volume.dest(name)).unwrap().to_str(), Some("real"));
                assert_eq!(read(&volume, name), "real");
            }
        }
    }
    let flags = ["--path=/app/", "--links=relative"];
    assert_refused(&pull(&Volume::new(), &registry.host(), &flags, ":v1"), 2, &["DEST"]);
}

#[test]
fn a_plan_says_what_would_be_fetched() {
    let content = Content::default();
    application(&content);
    let registry = content.registry();
    let volume = Volume::new();
    let reference = format!("oci://{}/team/app:v1", registry.host());
    let dest = text(&volume.dest(""));
    let args = ["plan", "--plain-http", "--path=/app", &reference, &dest];
    let output = crate::web::init_copy(&args).output().unwrap();
    assert_done(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("app"), "{said}");
    assert!(volume.names().is_empty());
    assert!(registry.targets().iter().all(|target| target.contains("manifests")));
}
