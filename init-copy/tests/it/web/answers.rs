use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, thread};

use testbed::http::Reply;

use super::{Site, content, fetch, full, raw};
use crate::{Volume, assert_done, assert_refused};

#[test]
fn a_status_has_its_exit_code() {
    for (status, code, word) in [
        (401, 13, "give credentials"),
        (403, 13, "give credentials"),
        (404, 10, "check the path"),
        (410, 10, "check the path"),
        (400, 12, "answers 400"),
        (204, 12, "answers 204"),
        (300, 12, "answers 300"),
        (418, 12, "answers 418"),
    ] {
        let site = Site::start(move |_, _| Reply::text(status, ""));
        let volume = Volume::new();
        let output = fetch(&volume, &[], &site.url("/app.war"));
        assert_refused(&output, code, &[&site.url("/app.war"), word]);
        assert!(!volume.dest("app.war").exists());
        assert_eq!(site.requests().len(), 1, "asking again gives the same");
    }
}

#[test]
fn what_passes_is_tried_again() {
    // At once, since each waits before it asks again.
    thread::scope(|scope| {
        for status in [408, 429, 500, 502, 503, 504] {
            scope.spawn(move || {
                let site = Site::start(move |before, _| match before {
                    0 => Reply::text(status, ""),
                    _ => Reply::text(200, "content"),
                });
                let volume = Volume::new();
                assert_done(&fetch(&volume, &[], &site.url("/app.war")));
                assert_eq!(volume.names(), ["app.war"]);
            });
        }
    });
    let site = Site::start(|before, _| match before {
        0 => Reply::Close,
        _ => Reply::text(200, "content"),
    });
    assert_done(&fetch(&Volume::new(), &[], &site.url("/app.war")));
}

#[test]
fn tries_are_counted() {
    for tries in [1, 2] {
        let site = Site::start(|_, _| Reply::text(503, ""));
        let volume = Volume::new();
        let output = fetch(&volume, &[&format!("--tries={tries}")], &site.url("/app.war"));
        assert_refused(&output, 12, &["answers 503", "tries without progress"]);
        assert_eq!(site.requests().len(), tries);
    }
}

#[test]
fn a_server_says_when_to_ask_again() {
    let asked = Mutex::new(Vec::new());
    let site = Site::start(move |before, _| {
        let mut asked = asked.lock().unwrap();
        asked.push(Instant::now());
        match before {
            0 => full(429, &[("Retry-After", "1")], b""),
            // Half a second would be the longest wait of our own.
            _ if asked[1] - asked[0] >= Duration::from_secs(1) => Reply::text(200, "content"),
            _ => Reply::text(404, "too early"),
        }
    });
    assert_done(&fetch(&Volume::new(), &[], &site.url("/app.war")));
}

#[test]
fn a_server_that_stands_still_is_given_up() {
    for reply in [
        Vec::new(),
        raw("200 OK", &[("Content-Length", "1000")], b""),
        raw("200 OK", &[("Content-Length", "1000"), ("ETag", "\"v1\"")], b"some"),
    ] {
        let site = Site::start(move |before, _| match before {
            0 => Reply::Hang(reply.clone()),
            _ => Reply::Hang(Vec::new()),
        });
        let volume = Volume::new();
        let flags = ["--stall-timeout=200ms", "--tries=2"];
        assert_refused(
            &fetch(&volume, &flags, &site.url("/app.war")),
            12,
            &["tries without progress"],
        );
        assert!(!volume.dest("app.war").exists());
        assert!(site.requests().len() >= 2);
    }
}

#[test]
fn a_server_that_stood_still_is_asked_again() {
    let site = Site::start(|before, _| match before {
        0 => Reply::Hang(Vec::new()),
        _ => Reply::text(200, content()),
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &["--stall-timeout=200ms"], &site.url("/app.war")));
    assert_eq!(fs::read(volume.dest("app.war")).unwrap(), content());
}

#[test]
fn the_deadline_is_for_everything() {
    for reply in [
        || full(503, &[("Retry-After", "100")], b""),
        || Reply::Hang(Vec::new()),
        || Reply::Hang(raw("200 OK", &[("Content-Length", "1000")], b"some")),
    ] {
        let site = Site::start(move |_, _| reply());
        let volume = Volume::new();
        let output = fetch(&volume, &["--deadline=1s"], &site.url("/app.war"));
        assert_refused(&output, 17, &["the deadline of 1s passed", "--deadline"]);
        assert!(!volume.dest("app.war").exists());
    }
}

#[test]
fn redirects_are_followed() {
    let target = Site::serving(content());
    let elsewhere = target.url("/store/blob");
    let site = Site::start(move |_, request| {
        let to = |status, location: &str| full(status, &[("Location", location)], b"");
        match request.target.as_str() {
            "/dir/app.war" => to(302, "other?x=1"),
            "/dir/other?x=1" => to(307, "/root"),
            "/root" => to(
                301,
                "//127.0.0.1:PORT/last"
                    .replace("PORT", port(request.header("host")))
                    .as_str(),
            ),
            "/last" => to(308, &elsewhere),
            _ => Reply::text(404, ""),
        }
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/dir/app.war")));
    assert_eq!(volume.names(), ["app.war"], "named after what was asked for");
    assert_eq!(fs::read(volume.dest("app.war")).unwrap(), content());
    assert_eq!(target.targets(), ["/store/blob"]);
}

fn port(host: Option<&str>) -> &str {
    host.and_then(|host| host.rsplit(':').next()).unwrap()
}

#[test]
fn redirects_that_lead_nowhere_end() {
    for (location, word) in [
        ("/app.war", "redirects more than 10 times"),
        ("file:///etc/passwd", "redirects to a place that is refused"),
        (
            "http://user:password@127.0.0.1/",
            "redirects to a place that is refused",
        ),
        ("http://", "redirects to a place that is refused"),
    ] {
        let site = Site::start(move |_, _| full(302, &[("Location", location)], b""));
        let volume = Volume::new();
        assert_refused(&fetch(&volume, &[], &site.url("/app.war")), 12, &[word]);
        assert!(!volume.dest("app.war").exists());
    }
}

#[test]
fn headers_without_an_end_are_refused() {
    let site = Site::start(|_, _| {
        Reply::Raw(raw(
            "200 OK",
            &[("X-Filler", &"x".repeat(100_000)), ("Content-Length", "1")],
            b"x",
        ))
    });
    let volume = Volume::new();
    assert_refused(&fetch(&volume, &["--tries=1"], &site.url("/app.war")), 12, &[]);
    assert!(!volume.dest("app.war").exists());
}

#[test]
fn nobody_listens() {
    let site = Site::serving("");
    let url = site.url("/app.war");
    drop(site);
    assert_refused(
        &fetch(&Volume::new(), &["--tries=1"], &url),
        12,
        &["refused", "network policy"],
    );
}
