use std::fs;
use std::process::Output;

use testbed::http::Reply;

use super::{Site, fetch, full, init_copy};
use crate::{Volume, assert_done, assert_refused, text};

/// `user:secret-word`.
const BASIC: &str = "Basic dXNlcjpzZWNyZXQtd29yZA==";
const SECRET: &str = "secret-word";

/// Lets in who shows this.
fn guarded(expected: &'static str) -> Site {
    Site::start(move |_, request| match request.header("authorization") {
        Some(found) if found == expected => Reply::text(200, "content"),
        _ => Reply::text(401, ""),
    })
}

#[track_caller]
fn assert_tells_no_secret(output: &Output) {
    let told = [output.stdout.as_slice(), &output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    for secret in [SECRET, "dXNlcjpzZWNyZXQtd29yZA"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn credentials_come_from_files_and_variables() {
    let volume = Volume::new();
    let secret = volume.dir.path().join("secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let netrc = volume.dir.path().join("netrc");
    fs::write(
        &netrc,
        format!("machine other.example login x password y\nmachine 127.0.0.1 login user password {SECRET}\n"),
    )
    .unwrap();
    let file = format!("file:{}", text(&secret));
    let netrc = text(&netrc);
    for (expected, flags) in [
        (BASIC, ["--username=user", "--password", &file].as_slice()),
        (BASIC, &["--username=user", "--password=env:REPOSITORY_PASSWORD"]),
        (BASIC, &["--netrc", &netrc]),
        ("Bearer secret-word", &["--bearer", &file]),
        ("Bearer secret-word", &["--bearer=env:REPOSITORY_PASSWORD"]),
    ] {
        let site = guarded(expected);
        let volume = Volume::new();
        let (url, dest) = (site.url("/app.war"), text(&volume.dest("")));
        let run = |log: &str| {
            let mut args = vec![log];
            args.extend(flags);
            args.extend([url.as_str(), &dest]);
            init_copy(&args).env("REPOSITORY_PASSWORD", SECRET).output().unwrap()
        };
        let output = run("--log-level=debug");
        assert_done(&output);
        assert_tells_no_secret(&output);
        assert_eq!(volume.names(), ["app.war"]);
        let receipt = fs::read_to_string(volume.dest(".init-copy.receipt")).unwrap();
        assert!(!receipt.contains(SECRET));
    }
}

#[test]
fn wrong_credentials_are_refused_without_telling_them() {
    let site = guarded("Bearer another");
    let volume = Volume::new();
    let secret = volume.dir.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let flag = format!("--bearer=file:{}", text(&secret));
    let output = fetch(&volume, &[&flag, "--log-level=debug"], &site.url("/app.war"));
    assert_refused(&output, 13, &["answers 401", "--netrc"]);
    assert_tells_no_secret(&output);
    // A secret as a flag would show in a pod spec.
    let output = fetch(&volume, &[&format!("--bearer={SECRET}")], &site.url("/app.war"));
    assert_refused(&output, 2, &["env:NAME or file:/path"]);
}

#[test]
fn a_secret_that_cannot_be_used_is_a_mistake() {
    let site = guarded("");
    let volume = Volume::new();
    let empty = volume.dir.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let two = volume.dir.path().join("two");
    fs::write(&two, "one\ntwo\n").unwrap();
    for flag in [
        format!("--bearer=file:{}", text(&empty)),
        format!("--bearer=file:{}", text(&two)),
        "--bearer=file:/nonexistent/secret".to_owned(),
        "--bearer=env:NO_SUCH_VARIABLE_IS_SET".to_owned(),
        "--username=user".to_owned(),
    ] {
        assert_refused(&fetch(&volume, &[&flag], &site.url("/app.war")), 2, &[]);
    }
    assert!(site.requests().is_empty());
}

#[test]
fn credentials_are_for_the_origin_that_was_named() {
    let other = Site::serving("content");
    let elsewhere = other.url("/blob");
    let site = Site::start(move |_, request| match request.target.as_str() {
        "/app.war" => full(302, &[("Location", "/same")], b""),
        _ => full(302, &[("Location", &elsewhere)], b""),
    });
    let volume = Volume::new();
    let secret = volume.dir.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let flag = format!("--bearer=file:{}", text(&secret));
    assert_done(&fetch(&volume, &[&flag], &site.url("/app.war")));
    let own = Some("Bearer secret-word".to_owned());
    assert_eq!(site.headers("authorization"), [own.clone(), own]);
    assert_eq!(other.headers("authorization"), [None]);
}

#[test]
fn netrc_is_for_its_hosts() {
    let other = Site::serving("content");
    // The same machine, by another name.
    let elsewhere = other.url("/blob").replace("127.0.0.1", "localhost");
    let site = Site::start(move |_, _| full(302, &[("Location", &elsewhere)], b""));
    let volume = Volume::new();
    let netrc = volume.dir.path().join("netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login user password {SECRET}\n")).unwrap();
    let flag = format!("--netrc={}", text(&netrc));
    assert_done(&fetch(&volume, &[&flag], &site.url("/app.war")));
    assert_eq!(site.headers("authorization"), [Some(BASIC.to_owned())]);
    assert_eq!(other.headers("authorization"), [None]);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let volume = Volume::new();
    for args in [&["--password=hunter2", "--username=u"][..], &["--bearer=hunter2"]] {
        let output = fetch(&volume, args, "http://127.0.0.1:9/x");
        assert_refused(&output, 2, &["env:NAME or file:/path"]);
        assert!(!text_of(&output).contains("hunter2"), "{output:?}");
    }
    let mut broken = init_copy(&["--bearer=env:TOKEN", "http://127.0.0.1:9/x", &text(&volume.dest(""))]);
    let bytes = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"hunter2\xff");
    let output = broken.env("TOKEN", bytes).output().unwrap();
    assert_refused(&output, 2, &["TOKEN", "not UTF-8"]);
    assert!(!text_of(&output).contains("hunter2"), "{output:?}");
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
