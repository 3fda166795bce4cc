use testbed::contract::{assert_admin_side, assert_no_delay, assert_takes_a_burst, assert_usage_errors_are_last_words};
use testbed::process::{code_and_stderr, run};

use crate::{BIN, http_proxy, nobody};

#[test]
fn help_says_what_it_does() {
    let output = run(BIN, &["--help"]);
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

fn check(args: &[&str]) -> (Option<i32>, String) {
    let args: Vec<&str> = ["check"].iter().chain(args).copied().collect();
    code_and_stderr(&run(BIN, &args))
}

/// These settings are refused, and this is told.
pub(crate) fn assert_mistake(args: &[&str], told: &str) {
    let (code, stderr) = check(args);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(told), "{told:?} is not in: {stderr}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let args = [
        "--listen",
        "9200",
        "--to",
        "ftp://a:443,http://b/path?query,http://u@c",
        "--retries",
        "11",
        "--max-requests",
        "0",
        "--host",
        "mine",
    ];
    let (code, stderr) = check(&args);
    assert_eq!(code, Some(2));
    for told in [
        "7 mistakes",
        "--listen: \"9200\"",
        "--to: \"ftp://a:443\" is not valid: the scheme \"ftp\" is not one of http, https, h2c, h2, grpc, grpcs, tcp, tls, postgres",
        "--to: \"http://b/path?query\" is not valid: it has a query",
        "--to: \"http://u@c\" is not valid: it carries user information",
        "--retries: \"11\"",
        "--max-requests: \"0\"",
        "--host: \"mine\"",
    ] {
        assert!(stderr.contains(told), "{told:?} is not in: {stderr}");
    }
}

#[test]
fn limits_are_limited() {
    let base = ["--listen", "127.0.0.1:0", "--to", "http://a"];
    for (flag, value, code) in [
        ("--max-head", "255B", 2),
        ("--max-head", "256B", 0),
        ("--max-head", "1MiB", 0),
        ("--max-head", "1048577B", 2),
        ("--retries", "0", 0),
        ("--retries", "10", 0),
        ("--max-connections", "1", 0),
        ("--max-connections", "1000001", 2),
    ] {
        let args: Vec<&str> = base.iter().copied().chain([flag, value]).collect();
        assert_eq!(check(&args).0, Some(code), "{flag} {value}");
    }
}

#[test]
fn services_are_named_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(path, "services:\n  a: {listen: 127.0.0.1:81, to: http://x}\n  b: {listen: 127.0.0.1:82, to: [tcp://y:1, tcp://z:1]}\n").unwrap();
    assert_eq!(check(&["--config", path]).0, Some(0));
    let bad = "services:\n  a: {listen: 127.0.0.1:81, to: http://x, retires: 1}\n  b:\n    listen: 127.0.0.1:82\n    to: [tcp://y:1, http://z:1]\n";
    std::fs::write(path, bad).unwrap();
    let (code, stderr) = check(&["--config", path]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains(&format!(
            "{path}:2:43: retires: is not a setting; did you mean retries?"
        )),
        "{stderr}"
    );
    assert!(stderr.contains("service b have different schemes"), "{stderr}");
    std::fs::write(
        path,
        "services:\n  a: {listen: 127.0.0.1:81, to: http://x}\n  b: {listen: 127.0.0.1:81, to: http://x}\n",
    )
    .unwrap();
    assert!(
        check(&["--config", path])
            .1
            .contains("services a and b both listen on 127.0.0.1:81")
    );
}

#[test]
fn what_cannot_work_is_refused() {
    for (args, told) in [
        (
            &["--listen", "127.0.0.1:81", "--to", "http://127.0.0.1:81"][..],
            "would connect to itself",
        ),
        (
            &["--listen", ":81", "--to", "http://localhost:81"],
            "would connect to itself",
        ),
        (
            &["--listen", ":81", "--to", "http://a", "--idle-timeout", "0s"],
            "must not be 0s",
        ),
    ] {
        let (code, stderr) = check(args);
        assert_eq!(code, Some(2), "{args:?}");
        assert!(stderr.contains(told), "{stderr}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "services:\n  a: {listen: 127.0.0.1:81, to: http://x}\n").unwrap();
    let path = file.path().to_str().unwrap();
    for (flag, value) in [("--listen", "127.0.0.1:82"), ("--retries", "7"), ("--host", "keep")] {
        let (code, stderr) = check(&["--config", path, flag, value]);
        assert_eq!(code, Some(2), "{flag}");
        assert!(
            stderr.contains(&format!("{flag}: has no effect: with services")),
            "{stderr}"
        );
    }
    std::fs::write(
        file.path(),
        "retries: 7\nservices:\n  a: {listen: 127.0.0.1:81, to: http://x}\n",
    )
    .unwrap();
    let (code, stderr) = check(&["--config", path]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains(&format!("{path}:1:1: retries: has no effect")),
        "{stderr}"
    );
}

#[test]
fn how_endpoints_are_chosen_has_to_fit_what_they_carry() {
    let args = |to: &'static str, more: &[&'static str]| [&["--listen", "127.0.0.1:9200", "--to", to], more].concat();
    for (to, more, told) in [
        ("http://a:1", &["--balance", "hash"][..], "needs hash-by"),
        ("http://a:1", &["--hash-by", "path"], "balance is not hash"),
        (
            "http://a:1",
            &["--balance", "hash", "--hash-by", "header:"],
            "that is no name",
        ),
        (
            "http://a:1",
            &["--balance", "hash", "--hash-by", "query"],
            "header:NAME, cookie:NAME or path",
        ),
        ("tcp://a:1", &["--balance", "peak-ewma"], "least, round-robin or sticky"),
        (
            "tcp://a:1",
            &["--balance", "hash", "--hash-by", "path"],
            "least, round-robin or sticky",
        ),
        ("http://a:1#weight=0", &[], "weight=1 to 255"),
        ("http://a:1#weight=256", &[], "weight=1 to 255"),
        ("http://a:1#priority=256", &[], "priority=0 to 255"),
        ("http://a:1#backup", &[], "not \"backup\""),
        ("http://a:1#weight=2&weight=3", &[], "each once, not \"weight=3\""),
        (
            "tcp://a:1",
            &["--slow-start", "5s"],
            "an endpoint has what belongs to it",
        ),
        ("tcp://a:1", &["--hash-by", "path"], "balance is not hash"),
        ("http://a:1,tcp://b:1", &["--balance", "best"], "peak-ewma, round-robin"),
        ("http://a:1,tcp://b:1", &["--slow-start", "soon"], "--slow-start"),
        ("http://a:1#", &[], "not \"\""),
    ] {
        assert_mistake(&args(to, more), told);
    }
    let several = ["--balance", "hash", "--slow-start", "5s", "--health", "http://b:1/"];
    let (_, stderr) = check(&args("http://a:1", &several));
    for told in ["needs hash-by", "--slow-start", "--health"] {
        assert!(stderr.contains(told), "{told:?} is not in: {stderr}");
    }
    for (to, more) in [
        (
            "http://a:1#weight=255&priority=255",
            &["--balance", "hash", "--hash-by", "cookie:session"][..],
        ),
        ("tcp://a:1#priority=0,tcp://b:1#weight=1", &["--balance", "round-robin"]),
    ] {
        assert_eq!(check(&args(to, more)).0, Some(0), "{to}");
    }
}

#[test]
fn a_mistake_between_settings_names_each_place() {
    let (code, stderr) = check(&["--listen", ":81", "--to", "http://a,tcp://b:1", "--idle-timeout", "0s"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--idle-timeout: connect-timeout"), "{stderr}");
    let (_, stderr) = check(&["--listen", ":81", "--to", "http://a,tcp://b:1"]);
    assert!(
        stderr.contains("--to: the endpoints of service default have different schemes"),
        "{stderr}"
    );
}

#[test]
fn a_mistake_on_the_command_line_is_in_the_termination_message() {
    assert_usage_errors_are_last_words(BIN);
}

#[test]
fn the_admin_side_is_as_in_every_sidecar() {
    let endpoint = nobody();
    let (proxy, address) = http_proxy(&[&endpoint]);
    let to = format!("http://{endpoint}");
    assert_admin_side(&proxy, BIN, &["--listen", "127.0.0.1:0", "--to", &to]);
    assert_no_delay(&proxy, &address);
    assert_takes_a_burst(&proxy, &address);
}

#[test]
fn the_schema_of_the_file_is_as_it_was_read() {
    let output = run(BIN, &["schema"]);
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
