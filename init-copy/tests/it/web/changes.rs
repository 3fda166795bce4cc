use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testbed::http::Reply;
use testbed::process::code_and_stderr;

use super::{Site, fetch, full, sha256};
use crate::archives::gzip;
use crate::archives::tar_writer::{member, tar};
use crate::{Volume, assert_done, text};

#[test]
fn what_has_a_tag_is_asked_for_by_it() {
    let version = Arc::new(AtomicUsize::new(1));
    let served = Arc::clone(&version);
    let site = Site::start(move |_, request| {
        let version = served.load(Ordering::Relaxed);
        let tag = format!("\"v{version}\"");
        if request.header("if-none-match") == Some(&tag) {
            return full(304, &[("ETag", &tag)], b"");
        }
        full(200, &[("ETag", &tag)], format!("content {version}").as_bytes())
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    let again = fetch(&volume, &[], &site.url("/app.war"));
    assert_done(&again);
    assert!(
        code_and_stderr(&again).1.contains("nothing to do"),
        "{:?}",
        code_and_stderr(&again)
    );
    assert_eq!(volume.names(), ["app.war"]);
    assert_eq!(site.headers("if-none-match"), [None, Some("\"v1\"".to_owned())]);

    version.store(2, Ordering::Relaxed);
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_eq!(fs::read_to_string(volume.dest("app.war")).unwrap(), "content 2");

    // What was altered is not asked for by the tag of what it was.
    fs::write(volume.dest("app.war"), "altered").unwrap();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_eq!(fs::read_to_string(volume.dest("app.war")).unwrap(), "content 2");
    assert_eq!(site.headers("if-none-match")[3], None);
}

#[test]
fn without_a_tag_it_is_fetched_again_and_changed_only_if_it_did() {
    let site = Site::serving("content");
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    let before = fs::metadata(volume.dest("app.war")).unwrap();
    let again = fetch(&volume, &[], &site.url("/app.war"));
    assert!(
        code_and_stderr(&again).1.contains("nothing to do"),
        "{:?}",
        code_and_stderr(&again)
    );
    assert_eq!(volume.names(), ["app.war"]);
    let after = fs::metadata(volume.dest("app.war")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}

#[test]
fn what_has_a_digest_is_not_asked_for_again() {
    let site = Site::serving("content");
    let (volume, url) = (Volume::new(), site.url("/app.war"));
    let digest = format!("--sha256={}", sha256(b"content"));
    assert_done(&fetch(&volume, &[&digest], &url));
    drop(site);
    let again = fetch(&volume, &[&digest, "--tries=1"], &url);
    assert_done(&again);
    assert!(code_and_stderr(&again).1.contains("nothing to do"));
}

#[test]
fn not_modified_without_having_asked_is_refused() {
    let site = Site::start(|_, _| Reply::text(304, ""));
    let volume = Volume::new();
    crate::assert_refused(&fetch(&volume, &[], &site.url("/app.war")), 12, &["answers 304"]);
    assert!(!volume.dest("app.war").exists());
}

#[test]
fn every_way_of_publishing_proves_a_download() {
    let site = Site::serving("content");
    let url = site.url("/app.war");
    let digest = format!("--sha256={}", sha256(b"content"));
    for way in ["rename", "exchange", "symlink"] {
        let volume = Volume::new();
        let (publish, dest) = (format!("--publish={way}"), format!("{}/", text(&volume.dest("target"))));
        let run = || {
            let mut command = super::init_copy(&[&publish, &digest, &url, &dest]);
            command.output().unwrap()
        };
        assert_done(&run());
        assert_eq!(fs::read_to_string(volume.dest("target/app.war")).unwrap(), "content");
        let again = run();
        assert!(
            code_and_stderr(&again).1.contains("nothing to do"),
            "{way}: {:?}",
            code_and_stderr(&again)
        );
    }
}

/// A server whose tags tell nothing apart: every answer has the same one, and is 304 to whoever names it.
fn one_tag_for_all() -> Site {
    Site::start(|_, request| {
        let tag = [("ETag", "\"same\"")];
        if let Some(to) = request.target.strip_prefix("/to/") {
            return full(302, &[("Location", &format!("/{to}"))], b"");
        }
        match request.header("if-none-match") {
            Some(_) => full(304, &tag, b""),
            None => full(200, &tag, request.target.as_bytes()),
        }
    })
}

#[test]
fn a_tag_never_crosses_to_another_query() {
    let (site, volume) = (one_tag_for_all(), Volume::new());
    for path in ["/f?v=1", "/f?v=2", "/f?v=2&w", "/f", "/f?", "/f?v=1"] {
        assert_done(&fetch(&volume, &[], &site.url(path)));
        assert_eq!(fs::read_to_string(volume.dest("f")).unwrap(), path);
    }
    let again = fetch(&volume, &[], &site.url("/f?v=1"));
    assert!(code_and_stderr(&again).1.contains("nothing to do"), "{again:?}");
    let receipt = fs::read_to_string(volume.dest(".init-copy.receipt")).unwrap();
    assert!(!receipt.contains("v=1"), "a query may be a secret: {receipt}");
}

#[test]
fn a_tag_never_crosses_to_where_a_redirect_leads_now() {
    let target = Arc::new(AtomicUsize::new(1));
    let led = Arc::clone(&target);
    let site = Site::start(move |_, request| {
        let tag = [("ETag", "\"same\"")];
        if request.target == "/latest" {
            let to = format!("/v{}", led.load(Ordering::Relaxed));
            return full(302, &[("Location", &to)], b"");
        }
        match request.header("if-none-match") {
            Some(_) => full(304, &tag, b""),
            None => full(200, &tag, request.target.as_bytes()),
        }
    });
    let volume = Volume::new();
    let dest = text(&volume.dest("app"));
    let run = || super::init_copy(&[&site.url("/latest"), &dest]).output().unwrap();
    assert_done(&run());
    assert!(code_and_stderr(&run()).1.contains("nothing to do"));
    target.store(2, Ordering::Relaxed);
    assert_done(&run());
    assert_eq!(fs::read_to_string(volume.dest("app")).unwrap(), "/v2");
}

#[test]
fn with_a_digest_another_query_is_another_way_to_the_same() {
    let (site, volume) = (Site::serving("content"), Volume::new());
    let digest = format!("--sha256={}", sha256(b"content"));
    assert_done(&fetch(&volume, &[&digest], &site.url("/app.war?signature=1")));
    let again = fetch(&volume, &[&digest], &site.url("/app.war?signature=2"));
    assert!(code_and_stderr(&again).1.contains("nothing to do"), "{again:?}");
    assert_eq!(site.requests().len(), 1);
}

/// What is pinned needs no network, whatever the policy, and whatever the application did to it.
#[test]
fn what_is_pinned_is_not_asked_for_again_for_what_is_left_or_gone() {
    let archive = |names: &[&str]| {
        gzip(&tar(&names
            .iter()
            .map(|name| member(name, b'0', *name))
            .collect::<Vec<_>>()))
    };
    let (volume, first, second) = (Volume::new(), archive(&["a", "b"]), archive(&["a"]));
    let pinned = |archive: &[u8]| format!("--sha256={}", sha256(archive));
    let site = Site::start({
        let (first, second) = (first.clone(), second.clone());
        move |_, request| full(200, &[], if request.target == "/1.tar.gz" { &first } else { &second })
    });
    let run = |policy: &str, archive: &[u8], path: &str| {
        fetch(&volume, &["--unpack", policy, &pinned(archive)], &site.url(path))
    };
    // A member that the archive lost, and that is not pruned.
    assert_done(&run("--existing=replace", &first, "/1.tar.gz"));
    assert_done(&run("--existing=replace", &second, "/2.tar.gz"));
    let asked = site.requests().len();
    let again = run("--existing=replace", &second, "/2.tar.gz");
    assert!(code_and_stderr(&again).1.contains("nothing to do"), "{again:?}");
    assert_eq!(site.requests().len(), asked);

    for policy in ["--existing=keep", "--existing=seed"] {
        let volume = Volume::new();
        let run = || fetch(&volume, &["--unpack", policy, &pinned(&first)], &site.url("/1.tar.gz"));
        assert_done(&run());
        fs::write(volume.dest("a"), "the application's").unwrap();
        let asked = site.requests().len();
        if policy == "--existing=seed" {
            fs::remove_file(volume.dest("b")).unwrap();
        }
        assert_done(&run());
        assert_eq!(site.requests().len(), asked, "{policy}");
        assert_eq!(fs::read_to_string(volume.dest("a")).unwrap(), "the application's");
        assert_eq!(volume.dest("b").exists(), policy == "--existing=keep");
    }
}

#[test]
fn one_url_under_two_names_is_two_files() {
    let site = Site::serving("content");
    let digest = format!("--sha256={}", sha256(b"content"));
    for flags in [&[][..], &[digest.as_str()]] {
        let volume = Volume::new();
        for name in ["one.bin", "two.bin", "one.bin", ""] {
            let mut args = flags.to_vec();
            let (url, dest) = (site.url("/app.war"), text(&volume.dest(name)));
            args.extend([url.as_str(), &dest]);
            assert_done(&super::init_copy(&args).output().unwrap());
        }
        assert_eq!(volume.names(), ["app.war", "one.bin", "two.bin"]);
    }
}

#[test]
fn one_name_for_two_pinned_downloads_knows_both() {
    let site = Site::start(|_, request| Reply::text(200, request.target.clone()));
    let volume = Volume::new();
    let run = || {
        for path in ["/a", "/b"] {
            let digest = format!("--sha256={}", sha256(path.as_bytes()));
            assert_done(&fetch(&volume, &[&digest], &site.url(path)));
        }
    };
    run();
    run();
    assert_eq!(site.targets(), ["/a", "/b"]);
}
