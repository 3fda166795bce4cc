use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use sha2::{Digest as _, Sha512};
use testbed::http::Reply;
use testbed::process::code_and_stderr;

use super::{Site, content, fetch, init_copy, sha256};
use crate::{Volume, assert_done, assert_refused, text};

#[test]
fn a_file_is_downloaded_under_its_name_or_another() {
    let site = Site::serving(content());
    let volume = Volume::new();
    let output = fetch(&volume, &[], &site.url("/dir/my%20app.war?token=confidential"));
    assert_done(&output);
    assert_eq!(volume.names(), ["my app.war"]);
    assert_eq!(fs::read(volume.dest("my app.war")).unwrap(), content());
    let mode = fs::metadata(volume.dest("my app.war")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(site.targets(), ["/dir/my%20app.war?token=confidential"]);
    assert!(!code_and_stderr(&output).1.contains("confidential"));

    let other = text(&volume.dest("ROOT.war"));
    assert_done(&init_copy(&[&site.url("/app.war"), &other]).output().unwrap());
    assert_eq!(volume.names(), ["ROOT.war", "my app.war"]);
    assert_refused(
        &fetch(&volume, &[], &site.url("/dir/")),
        10,
        &["does not end in a name"],
    );
}

#[test]
fn an_empty_file_and_a_chunked_one_are_whole_and_one_without_an_end_is_not_believed() {
    let volume = Volume::new();
    let site = Site::start(|_, request| match request.target.as_str() {
        "/empty" => Reply::text(200, ""),
        "/chunked" => Reply::Raw(super::raw(
            "200 OK",
            &[("Transfer-Encoding", "chunked")],
            b"4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n",
        )),
        _ => Reply::Raw(super::raw("200 OK", &[("Connection", "close")], b"until the end")),
    });
    assert_refused(
        &fetch(&volume, &[], &site.url("/closed")),
        12,
        &["gives no length", "--sha256"],
    );
    let digest = format!("--sha256={}", sha256(b"until the end"));
    for (path, flags, content) in [
        ("/empty", [].as_slice(), ""),
        ("/chunked", &[], "abcdefg"),
        ("/closed", &[digest.as_str()], "until the end"),
    ] {
        assert_done(&fetch(&volume, flags, &site.url(path)));
        assert_eq!(fs::read_to_string(volume.dest(&path[1..])).unwrap(), content);
    }
    assert_eq!(volume.names(), ["chunked", "closed", "empty"]);
}

#[test]
fn a_chunked_body_that_is_cut_is_no_whole() {
    let site = Site::start(|_, _| {
        Reply::Raw(super::raw(
            "200 OK",
            &[("Transfer-Encoding", "chunked")],
            b"4\r\nabcd\r\n3\r\nef",
        ))
    });
    let volume = Volume::new();
    assert_refused(&fetch(&volume, &["--tries=1"], &site.url("/app.war")), 12, &[]);
    assert!(!volume.dest("app.war").exists());
}

#[test]
fn the_digest_is_given_in_any_form() {
    let digest = sha256(&content());
    let integrity = base64::engine::general_purpose::STANDARD.encode(Sha512::digest(content()));
    let (gnu, bsd) = (
        format!("{digest}  other.war\n{digest} *app.war\n"),
        format!("SHA256 (app.war) = {digest}\n"),
    );
    let listed = gnu.clone();
    let site = Site::start(move |_, request| match request.target.as_str() {
        "/SHA256SUMS" => Reply::text(200, listed.clone()),
        _ => Reply::text(200, content()),
    });
    let sums = Volume::new();
    fs::write(sums.source("gnu"), gnu).unwrap();
    fs::write(sums.source("bsd"), bsd).unwrap();
    for flag in [
        format!("--sha256={digest}"),
        format!("--sha256={}", digest.to_uppercase()),
        format!("--checksum=sha256:{digest}"),
        format!("--checksum=sha512-{integrity}"),
        format!("--checksum={}", text(&sums.source("gnu"))),
        format!("--checksum={}", text(&sums.source("bsd"))),
        format!("--checksum={}", site.url("/SHA256SUMS")),
    ] {
        let volume = Volume::new();
        assert_done(&fetch(&volume, &[&flag], &site.url("/app.war")));
        assert_eq!(volume.names(), ["app.war"], "{flag}");
    }
}

#[test]
fn a_wrong_digest_leaves_nothing() {
    let site = Site::start(|_, request| match request.target.as_str() {
        "/sums" => Reply::text(200, format!("{}  app.war\n", "0".repeat(64))),
        "/page" => Reply::text(200, "<html>not found</html>"),
        _ => Reply::text(200, content()),
    });
    let wrong = "0".repeat(64);
    for (flag, words) in [
        (format!("--sha256={wrong}"), ["is not what was asked for", &wrong]),
        (
            format!("--checksum=sha512:{wrong}{wrong}"),
            ["is not what was asked for", "sha512"],
        ),
        (
            format!("--checksum={}", site.url("/sums")),
            ["is not what was asked for", &wrong],
        ),
        (
            format!("--checksum={}", site.url("/page")),
            ["cannot be used", "none of its 1 lines"],
        ),
    ] {
        let volume = Volume::new();
        assert_refused(&fetch(&volume, &[&flag], &site.url("/app.war")), 11, &words);
        assert!(volume.names().is_empty(), "{flag}: {:?}", volume.names());
    }
}

#[test]
fn a_wrong_digest_leaves_the_old_content() {
    let site = Site::serving(content());
    let volume = Volume::new();
    fs::write(volume.dest("app.war"), "old").unwrap();
    let wrong = format!("--sha256={}", "0".repeat(64));
    assert_refused(&fetch(&volume, &[&wrong], &site.url("/app.war")), 11, &[]);
    assert_eq!(volume.names(), ["app.war"]);
    assert_eq!(fs::read_to_string(volume.dest("app.war")).unwrap(), "old");
}

#[test]
fn bytes_are_counted() {
    let body = vec![b'x'; 1000];
    let unknown = super::raw("200 OK", &[("Connection", "close")], &body);
    let site = Site::start(move |_, request| match request.target.as_str() {
        "/known" => Reply::text(200, body.clone()),
        _ => Reply::Raw(unknown.clone()),
    });
    for path in ["/known", "/unknown"] {
        for (limit, good) in [(999, false), (1000, true), (1001, true)] {
            let volume = Volume::new();
            let digest = format!("--sha256={}", sha256(&[b'x'; 1000]));
            let output = fetch(&volume, &[&format!("--max-bytes={limit}B"), &digest], &site.url(path));
            if good {
                assert_done(&output);
                assert_eq!(volume.names(), [&path[1..]]);
            } else {
                assert_refused(&output, 14, &["more than 999 bytes", "--max-bytes"]);
                assert!(volume.names().is_empty(), "{path}: {:?}", volume.names());
            }
        }
    }
}

#[test]
fn an_archive_is_downloaded_and_unpacked() {
    use std::io::Write as _;
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "app/conf/app.yaml", b"a: 1\n".as_slice())
        .unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    let archive = encoder.finish().unwrap();
    let digest = format!("--sha256={}", sha256(&archive));
    let site = Site::serving(archive);
    let volume = Volume::new();
    let flags = ["--unpack", "--strip-components=1", &digest];
    assert_done(&fetch(&volume, &flags, &site.url("/app.tgz")));
    assert_eq!(volume.names(), ["conf", "conf/app.yaml"]);
    assert_eq!(fs::read_to_string(volume.dest("conf/app.yaml")).unwrap(), "a: 1\n");
    let again = fetch(&volume, &flags, &site.url("/app.tgz"));
    assert!(code_and_stderr(&again).1.contains("nothing to do"));
    assert_eq!(site.targets(), ["/app.tgz"], "what has a digest is asked for once");
    // A member that was lost is fetched again.
    fs::remove_file(volume.dest("conf/app.yaml")).unwrap();
    assert_done(&fetch(&volume, &flags, &site.url("/app.tgz")));
    assert_eq!(fs::read_to_string(volume.dest("conf/app.yaml")).unwrap(), "a: 1\n");
}

#[test]
fn a_page_in_place_of_an_archive_is_refused_and_leaves_nothing() {
    let site = Site::serving("<!doctype html><title>Sign in</title>");
    let volume = Volume::new();
    let output = fetch(&volume, &["--unpack"], &site.url("/app.tgz"));
    assert_refused(&output, 18, &["is no archive", "sent a page"]);
    assert!(volume.names().is_empty(), "{:?}", volume.names());
}

#[test]
fn a_plan_downloads_nothing() {
    let site = Site::serving(content());
    let volume = Volume::new();
    let (url, dest) = (site.url("/app.war"), text(&volume.dest("")));
    let output = init_copy(&["plan", &url, &dest]).output().unwrap();
    assert_done(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("app.war"));
    assert!(volume.names().is_empty());
}
