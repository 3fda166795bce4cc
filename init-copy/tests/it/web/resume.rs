use std::os::unix::fs::PermissionsExt as _;
use std::{fs, thread};

use testbed::http::Reply;
use testbed::process::Running;
use testbed::wait;

use super::{Site, content, fetch, full, init_copy, interrupted, raw, rest, sha256, start_of_range};
use crate::{Volume, as_nobody, assert_done, assert_refused, text};

const TAG: &[(&str, &str)] = &[("ETag", "\"v1\"")];

#[track_caller]
fn assert_downloaded(volume: &Volume, body: &[u8]) {
    assert_eq!(volume.names(), ["app.war"]);
    assert!(
        fs::read(volume.dest("app.war")).unwrap() == body,
        "the content is another"
    );
}

#[test]
fn a_download_that_was_reset_goes_on_where_it_was() {
    let site = Site::start(|before, request| match before {
        0 => interrupted(&content(), TAG),
        _ => rest(request, &content(), TAG),
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_downloaded(&volume, &content());
    let requests = site.requests();
    assert_eq!(requests.len(), 2);
    assert!(start_of_range(&requests[1]).is_some_and(|start| start > 0));
    assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn a_date_stands_in_for_a_tag() {
    let date = [
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Date", "Sun, 06 Nov 1994 08:49:38 GMT"),
        ("ETag", "W/\"weak\""),
    ];
    let site = Site::start(move |before, request| match before {
        0 => interrupted(&content(), &date),
        _ => rest(request, &content(), &date),
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_downloaded(&volume, &content());
    assert_eq!(
        site.headers("if-range")[1].as_deref(),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
}

#[test]
fn a_date_of_the_same_second_is_no_proof() {
    let date = [
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    let site = Site::start(move |before, request| match before {
        0 => interrupted(&content(), &date),
        _ => {
            assert_eq!(start_of_range(request), None);
            full(200, &date, &content())
        }
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_downloaded(&volume, &content());
}

#[test]
fn the_next_process_goes_on_where_a_killed_one_was() {
    let digest = format!("--sha256={}", sha256(&content()));
    for (tag, flags) in [(TAG, [].as_slice()), (&[], &[digest.as_str()])] {
        let site = Site::start(move |before, request| match before {
            0 => {
                let length = content().len().to_string();
                let headers = [tag, &[("Content-Length", &length)]].concat();
                Reply::Hang(raw("200 OK", &headers, &content()[..50_000]))
            }
            _ => rest(request, &content(), tag),
        });
        let volume = Volume::new();
        let (url, dest) = (site.url("/app.war"), text(&volume.dest("")));
        let running = Running::spawn(&mut init_copy(&[flags, &[&url, &dest]].concat()));
        let part = || {
            let names = volume.names().into_iter();
            let mut parts = names.filter(|name| name.starts_with(".init-copy-part-") && !name.ends_with(".json"));
            parts.next()
        };
        wait::until("a partial download", || {
            let length = fs::metadata(volume.dest(&part()?)).ok()?.len();
            (length == 50_000).then_some(())
        });
        running.kill();
        assert!(!volume.dest("app.war").exists());
        assert!(part().is_some());

        assert_done(&fetch(&volume, flags, &site.url("/app.war")));
        assert_downloaded(&volume, &content());
        assert_eq!(site.headers("range"), [None, Some("bytes=50000-".to_owned())]);
    }
}

#[test]
fn wrong_bytes_of_an_earlier_run_are_fetched_anew_once() {
    // The first run gets the beginning of something else, and its server gives no tag that would tell.
    let site = Site::start(move |before, request| match before {
        0 => interrupted(&vec![b'x'; content().len()], &[]),
        _ if start_of_range(request).is_some() => rest(request, &content(), &[]),
        _ => full(200, &[], &content()),
    });
    let volume = Volume::new();
    let digest = format!("--sha256={}", sha256(&content()));
    assert_refused(&fetch(&volume, &[&digest, "--tries=1"], &site.url("/app.war")), 12, &[]);
    assert_done(&fetch(&volume, &[&digest], &site.url("/app.war")));
    assert_downloaded(&volume, &content());
}

#[test]
fn without_a_digest_or_a_validator_the_next_process_starts_over() {
    let site = Site::start(|before, _| match before {
        0 => interrupted(&content(), &[]),
        _ => Reply::text(200, content()),
    });
    let volume = Volume::new();
    assert_refused(&fetch(&volume, &["--tries=1"], &site.url("/app.war")), 12, &[]);
    assert!(!volume.dest("app.war").exists());
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_downloaded(&volume, &content());
    assert_eq!(site.headers("range"), [None, None]);
}

#[test]
fn a_server_that_ignores_ranges_sends_it_all_again() {
    let site = Site::start(|before, _| match before {
        0 => interrupted(&content(), TAG),
        _ => full(200, TAG, &content()),
    });
    let volume = Volume::new();
    let digest = format!("--sha256={}", sha256(&content()));
    assert_done(&fetch(&volume, &[&digest], &site.url("/app.war")));
    assert_downloaded(&volume, &content());
    assert_eq!(site.requests().len(), 2);
}

#[test]
fn a_file_that_changed_in_between_is_fetched_anew() {
    let new = || vec![b'n'; 60_000];
    let other = [("ETag", "\"v2\"")];
    let site = Site::start(move |before, _| match before {
        0 => interrupted(&content(), TAG),
        _ => full(200, &other, &new()),
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_downloaded(&volume, &new());
}

#[test]
fn two_versions_are_never_mixed_even_if_the_server_ignores_the_condition() {
    // Of the same length, so that only the validator tells.
    let new = || content().iter().map(|byte| !byte).collect::<Vec<u8>>();
    const OTHER: &[(&str, &str)] = &[("ETag", "\"v2\"")];
    for (old_headers, new_headers) in [(TAG, OTHER), (&[], &[]), (&[], OTHER)] {
        let site = Site::start(move |before, request| match (before, start_of_range(request)) {
            (0, _) => interrupted(&content(), old_headers),
            (_, Some(_)) => rest(request, &new(), new_headers),
            _ => full(200, new_headers, &new()),
        });
        let volume = Volume::new();
        assert_done(&fetch(&volume, &[], &site.url("/app.war")));
        assert_downloaded(&volume, &new());
    }
}

#[test]
fn a_part_that_was_not_asked_for_is_not_taken() {
    let length = content().len();
    let ranges = [
        format!("bytes 0-{}/{length}", length - 1),
        format!("bytes 5-{}/{length}", length - 1),
        "bytes 5-4/3".to_owned(),
        format!("bytes */{length}"),
        "nonsense".to_owned(),
        String::new(),
    ];
    // At once, since each waits before it asks again.
    thread::scope(|scope| {
        for range in ranges {
            scope.spawn(|| {
                let site = Site::start(move |before, _| match before {
                    0 => interrupted(&content(), TAG),
                    1 => full(206, &[("Content-Range", &range), ("ETag", "\"v1\"")], b"something else"),
                    _ => full(200, TAG, &content()),
                });
                let volume = Volume::new();
                assert_done(&fetch(&volume, &[], &site.url("/app.war")));
                assert_downloaded(&volume, &content());
                assert_eq!(site.headers("range")[2], None, "started over");
            });
        }
    });
}

#[test]
fn a_rest_that_is_another_length_than_the_range_says_is_not_taken() {
    for extra in [-1_i32, 1] {
        let site = Site::start(move |before, request| match before {
            0 => interrupted(&content(), TAG),
            1 => {
                let start = start_of_range(request).unwrap();
                let range = format!("bytes {start}-{}/{}", content().len() - 1, content().len());
                let mut body = content()[start..].to_vec();
                if extra < 0 {
                    body.pop();
                } else {
                    body.push(0);
                }
                full(206, &[("Content-Range", &range), ("ETag", "\"v1\"")], &body)
            }
            _ if start_of_range(request).is_some() => rest(request, &content(), TAG),
            _ => full(200, TAG, &content()),
        });
        let volume = Volume::new();
        let output = fetch(&volume, &[], &site.url("/app.war"));
        if output.status.success() {
            assert_downloaded(&volume, &content());
        } else {
            assert_refused(&output, 12, &["bytes"]);
            assert!(!volume.dest("app.war").exists());
        }
    }
}

#[test]
fn a_range_that_cannot_be_had_starts_over() {
    let new = || content()[..9000].to_vec();
    let site = Site::start(move |before, _| match before {
        0 => interrupted(&content(), TAG),
        1 => full(416, &[("Content-Range", "bytes */9000")], b""),
        _ => full(200, &[("ETag", "\"v2\"")], &new()),
    });
    let volume = Volume::new();
    assert_done(&fetch(&volume, &[], &site.url("/app.war")));
    assert_downloaded(&volume, &new());
}

#[test]
fn a_length_that_is_never_reached_is_given_up() {
    let site = Site::start(|_, _| Reply::Raw(raw("200 OK", &[("Content-Length", "1000")], b"short")));
    let volume = Volume::new();
    let digest = format!("--sha256={}", sha256(b"short"));
    for flags in [&["--tries=2"][..], &["--tries=2", &digest]] {
        assert_refused(
            &fetch(&volume, flags, &site.url("/app.war")),
            12,
            &["tries without progress"],
        );
        assert!(!volume.dest("app.war").exists());
    }
}

#[test]
fn a_length_that_is_too_short_is_found_out_by_the_digest() {
    let site = Site::start(|_, _| Reply::Raw(raw("200 OK", &[("Content-Length", "5")], b"longer than that")));
    let volume = Volume::new();
    let digest = format!("--sha256={}", sha256(b"longer than that"));
    assert_refused(
        &fetch(&volume, &[&digest], &site.url("/app.war")),
        11,
        &["is not what was asked for"],
    );
    assert!(volume.names().is_empty());
}

/// The names of parts in the destination.
fn parts(volume: &Volume) -> Vec<String> {
    let mut names = volume.names();
    names.retain(|name| name.starts_with(".init-copy-part-") && !name.ends_with(".json"));
    names
}

#[test]
fn one_place_has_one_part_however_often_its_url_changes() {
    let site = Site::start(|_, _| interrupted(&content(), TAG));
    let volume = Volume::new();
    for signature in 0..4 {
        let url = site.url(&format!("/app.war?signature={signature}"));
        assert_refused(&fetch(&volume, &["--tries=1"], &url), 12, &[]);
        assert_eq!(parts(&volume).len(), 1, "{:?}", volume.names());
    }
    // Of another URL, so it is not gone on with.
    assert!(site.headers("range").iter().all(Option::is_none));
    let digest = format!("--sha256={}", sha256(&content()));
    assert_refused(
        &fetch(&volume, &["--tries=1", &digest], &site.url("/app.war?signature=5")),
        12,
        &[],
    );
    assert_eq!(parts(&volume).len(), 2, "by digest it is another download");

    // Once one run is done, what no other can use is gone.
    let whole = Site::serving(content());
    assert_done(&fetch(&volume, &[], &whole.url("/app.war?signature=6")));
    assert_downloaded(&volume, &content());
}

#[test]
fn with_a_digest_the_next_url_goes_on_where_the_last_one_was() {
    let site = Site::start(|before, request| match before {
        0 => interrupted(&content(), TAG),
        _ => rest(request, &content(), TAG),
    });
    let volume = Volume::new();
    let digest = format!("--sha256={}", sha256(&content()));
    assert_refused(
        &fetch(&volume, &["--tries=1", &digest], &site.url("/app.war?s=1")),
        12,
        &[],
    );
    assert_done(&fetch(&volume, &[&digest], &site.url("/app.war?s=2")));
    assert_downloaded(&volume, &content());
    assert!(start_of_range(&site.requests()[1]).is_some_and(|start| start > 0));
}

/// Its bytes are there, and the run failed at something else.
#[test]
fn what_was_fetched_before_a_failure_is_not_fetched_again() {
    let site = Site::start(|before, _| match before {
        0 => full(200, TAG, &content()),
        _ => full(
            416,
            &[TAG[0], ("Content-Range", &format!("bytes */{}", content().len()))],
            b"",
        ),
    });
    let volume = Volume::new();
    let (url, dest, absent) = (
        site.url("/app.war"),
        text(&volume.dest("")),
        text(&volume.source("tree/changes")),
    );
    fs::write(&absent, "x").unwrap();
    fs::create_dir(volume.dest("changes")).unwrap();
    let run = || init_copy(&[&url, &absent, &dest]).output().unwrap();
    assert_refused(&run(), 16, &["changes"]);
    assert_eq!(parts(&volume).len(), 1, "{:?}", volume.names());
    fs::remove_dir(volume.dest("changes")).unwrap();
    assert_done(&run());
    assert_eq!(site.requests().len(), 2);
    assert_eq!(fs::read(volume.dest("app.war")).unwrap(), content());
    assert!(parts(&volume).is_empty());
}

#[test]
fn a_part_is_as_old_as_the_last_byte_of_it() {
    let digest = format!("--sha256={}", sha256(&content()));
    for (both, kept) in [(false, true), (true, false)] {
        let site = Site::start(|before, request| match before {
            0 => interrupted(&content(), &[]),
            _ if start_of_range(request).is_none() => full(200, &[], &content()),
            _ => rest(request, &content(), &[]),
        });
        let volume = Volume::new();
        let url = site.url("/app.war");
        assert_refused(
            &fetch(&volume, &[&digest, "--tries=1"], &url),
            12,
            &["without progress"],
        );
        let part = parts(&volume).pop().unwrap();
        for name in [Some(format!("{part}.json")), both.then_some(part)]
            .into_iter()
            .flatten()
        {
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400 + 60);
            fs::File::options()
                .write(true)
                .open(volume.dest(&name))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        assert_done(&fetch(&volume, &[&digest], &url));
        assert_eq!(start_of_range(&site.requests()[1]).is_some(), kept);
    }
}

#[test]
fn destinations_beside_each_other_have_parts_of_their_own() {
    let site = Site::start(|before, request| match before {
        0 | 1 => interrupted(&content(), TAG),
        _ => rest(request, &content(), TAG),
    });
    let volume = Volume::new();
    let run = |dest: &str, tries: &str| {
        let dest = format!("{}/", text(&volume.dest(dest)));
        init_copy(&[tries, &site.url("/app.war"), &dest]).output().unwrap()
    };
    for dest in ["one", "two"] {
        assert_refused(&run(dest, "--tries=1"), 12, &[]);
    }
    for (at, dest) in [(2, "one"), (3, "two")] {
        assert_done(&run(dest, "--tries=2"));
        assert!(
            start_of_range(&site.requests()[at]).is_some_and(|start| start > 0),
            "{dest}"
        );
    }
}

#[test]
fn an_end_that_is_of_another_version_is_not_believed() {
    let newer: Vec<u8> = content().iter().map(|byte| !byte).collect();
    let site = Site::start(move |before, request| {
        let newest = [("ETag", "\"v2\"")];
        match (before, request.header("range")) {
            (0, _) => full(200, TAG, &content()),
            (_, Some(_)) => {
                let range = format!("bytes */{}", newer.len());
                full(416, &[newest[0], ("Content-Range", &range)], b"")
            }
            (_, None) => full(200, &newest, &newer),
        }
    });
    let volume = Volume::new();
    let (url, dest, file) = (
        site.url("/app.war"),
        text(&volume.dest("")),
        text(&volume.source("tree/changes")),
    );
    fs::write(&file, "x").unwrap();
    fs::create_dir(volume.dest("changes")).unwrap();
    assert_refused(&init_copy(&[&url, &file, &dest]).output().unwrap(), 16, &["changes"]);
    fs::remove_dir(volume.dest("changes")).unwrap();
    assert_done(&init_copy(&[&url, &file, &dest]).output().unwrap());
    assert!(fs::read(volume.dest("app.war")).unwrap() != content());
}

#[test]
fn a_part_that_had_its_last_mode_already_is_gone_on_with() {
    for (mode, is_readable) in [(0o444, true), (0o000, false)] {
        let site = Site::start(|before, request| match before {
            0 => interrupted(&content(), TAG),
            _ if start_of_range(request).is_some() => rest(request, &content(), TAG),
            _ => full(200, TAG, &content()),
        });
        let volume = Volume::new();
        let url = site.url("/app.war");
        let args = ["--tries=1", &url, &text(&volume.dest(""))];
        assert_refused(&as_nobody(&volume, &args), 12, &[]);
        let part = volume.dest(&parts(&volume)[0]);
        fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
        assert_done(&as_nobody(&volume, &args));
        assert_eq!(site.requests().len(), 2);
        let went_on = start_of_range(&site.requests()[1]).is_some_and(|start| start > 0);
        assert_eq!(went_on, is_readable, "{mode:o}: only what can be read is gone on with");
        assert_downloaded(&volume, &content());
    }
}
