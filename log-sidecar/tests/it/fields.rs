//! What is read of lines, what is left out of them, and what nobody is to see.

use std::io::Write as _;
use std::ops::Add as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::peer::Verdict;
use testbed::process::command;
use testbed::wait;

use crate::{BIN, Pod};

const LINES: &str = r#"{"time":"2026-11-26T10:00:00.123Z","level":"WARN","msg":"slow \"disk\"","ms":1500,"user":{"id":7},"log":"x"}
2026-11-26 10:00:01 ERROR no JSON at all
{"cut":"in the mid
"#;

#[test]
fn fields_stand_in_the_place_of_the_line() {
    let pod = Pod::new();
    pod.append("app.log", LINES);
    let running = pod.start_with(&[
        "--parse",
        "json",
        "--rename",
        "ms=duration_ms",
        "--field",
        "team=payments",
    ]);
    pod.wait_for(3);
    pod.stop(running);
    let documents: Vec<Value> = pod.store.documents("app").into_iter().map(|d| d.source).collect();
    let path = pod.log("app.log");
    let expected = json!({
        "@timestamp": "2026-11-26T10:00:00.123Z", "message": "slow \"disk\"", "time": "2026-11-26T10:00:00.123Z", "level": "WARN",
        "duration_ms": 1500, "user": {"id": 7}, "log_": "x", "team": "payments",
        "log": {"level": "warn", "file": {"path": path}, "offset": 0},
    });
    assert_eq!(documents[0], expected);
    let of = |index: usize| (&documents[index]["message"], &documents[index]["log"]["level"]);
    assert_eq!(
        of(1),
        (&json!("2026-11-26 10:00:01 ERROR no JSON at all"), &json!("error"))
    );
    assert_eq!(of(2), (&json!("{\"cut\":\"in the mid"), &Value::Null));
    assert_eq!(
        documents[2]["@timestamp"], "2026-11-26T10:00:01.000Z",
        "as old as the one before"
    );
}

#[test]
fn what_is_secret_is_nowhere() {
    let pod = Pod::new();
    pod.store.judge(|document| {
        if document.message().contains("refused") {
            Verdict::Refuse(400)
        } else {
            Verdict::Store
        }
    });
    let redact = ["--redact", "bearer", "--redact", r"/password=(\S+)/"];
    let running = pod.start_with(&redact);
    pod.append("app.log", "ok Bearer abcdefghijk\nrefused password=geheim!\nplain\n");
    pod.wait_for(2);
    wait::until("the dead letter", || (pod.dead_letters_so_far() == 1).then_some(()));
    running.kill();
    let running = pod.start_with(&redact);
    pod.append("app.log", "last\n");
    pod.wait_for(3);
    pod.stop(running);
    assert_eq!(pod.store.messages("app"), ["ok Bearer ***********", "plain", "last"]);
    assert_eq!(pod.dead_letters()[0]["message"], "refused password=*******");
}

#[test]
fn what_is_left_out_is_settled_and_told() {
    let pod = Pod::new();
    for n in 0..1000 {
        pod.append("app.log", format!("GET /health {n}\n"));
    }
    pod.append_lines("app.log", 0..10);
    pod.append("other.log", "GET /health\n");
    let mut running = pod.start_with(&["--drop", "/health/"]);
    pod.wait_for(10);
    wait::until("all to be settled", || {
        let text = std::fs::read_to_string(pod.state("checkpoint.json")).unwrap_or_default();
        let known: Value = serde_json::from_str(&text).unwrap_or_default();
        let files = known["files"].as_array().cloned().unwrap_or_default();
        let is_all = |file: &Value| {
            let size = std::fs::metadata(file["path"].as_str().unwrap()).unwrap().len();
            file["offset"].as_u64() == Some(size)
        };
        (files.len() == 2 && files.iter().all(is_all)).then_some(())
    });
    running.terminate();
    assert_eq!(running.exit().code(), Some(0));
    running.wait_for_log("read 1011, acked 10, rejected 0, dropped 1001, in flight 0");
    // Without the rule, what was left out is over all the same.
    let running = pod.start();
    running.wait_for_log("the sink is there");
    pod.stop(running);
    pod.assert_lines(10);
}

#[test]
fn a_sample_shows_what_would_be_sent() {
    let mut trial = command(BIN)
        .args([
            "try",
            "--parse",
            "json",
            "--nest",
            "app",
            "--drop",
            "/cut/",
            "--multiline",
            "java",
        ])
        // As they stand in the pod spec: no matter here.
        .args([
            "--state",
            "/state",
            "--admin",
            "off",
            "--api-key",
            "env:KEY",
            "--to",
            "loki+http://loki:3100",
            "--label",
            "a=b",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = trial.stdin.take().unwrap();
    stdin.write_all(LINES.as_bytes()).unwrap();
    stdin
        .write_all(b"Exception in thread \"main\" a.B: c\n\tat d.E.f(E.java:1)\nno end")
        .unwrap();
    drop(stdin);
    let shown = trial.wait_with_output().unwrap();
    assert!(shown.status.success());
    let shown = String::from_utf8(shown.stdout).unwrap();
    let documents: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = documents.iter().map(|d| d["message"].as_str().unwrap()).collect();
    let trace = "Exception in thread \"main\" a.B: c\n\tat d.E.f(E.java:1)";
    assert_eq!(
        messages,
        [
            "slow \"disk\"",
            "2026-11-26 10:00:01 ERROR no JSON at all",
            trace,
            "no end"
        ]
    );
    assert_eq!(
        (&documents[0]["app"]["log"], &documents[0]["app"]["ms"]),
        (&json!("x"), &json!(1500))
    );
    assert_eq!(documents[3]["log"]["flags"], json!(["partial"]));
}

#[test]
fn what_has_no_effect_is_refused() {
    let pod = Pod::new();
    for (more, told) in [
        (vec!["--rename", "a=b"], "give --parse"),
        (vec!["--parse", "yaml"], "neither a name nor a /REGEX/"),
        (vec!["--redact", "all"], "neither a name nor a /REGEX/"),
        (vec!["--drop", "health"], "between slashes"),
        (vec!["--field", "log=x"], "a name that records have themselves"),
        (
            vec!["--parse", "json", "--nest", "message"],
            "a name that records have themselves",
        ),
        (
            vec!["--parse", "json", "--nest", "a", "--field", "a=b"],
            "cannot be both",
        ),
        (vec!["--header", "Content-Length=3"], "what log-sidecar says itself"),
        (vec!["--label", "a=b"], "only Loki has labels"),
    ] {
        let mut running = pod.start_with(&more);
        assert_eq!(running.exit().code(), Some(2), "{more:?}");
        let lines = running.stderr().join("\n");
        assert!(lines.contains(told), "{lines}");
    }
}

#[test]
fn a_rule_looks_at_the_whole_line_whatever_its_bytes() {
    let pod = Pod::new();
    let running = pod.start_with(&["--drop", "/^$/"]);
    let path = pod.log("app.log");
    std::fs::write(&path, b"\xe9t\xe9 1\n\nabc \xff\xfe 2\n").unwrap();
    pod.wait_for(2);
    pod.stop(running);
    assert_eq!(
        pod.store.messages("app"),
        ["\u{fffd}t\u{fffd} 1", "abc \u{fffd}\u{fffd} 2"]
    );
}

/// As people write it: over several lines.
#[test]
fn a_document_of_several_lines_is_one_of_one_line() {
    let pod = Pod::new();
    let running = pod.start_with(&["--parse", "json", "--multiline", "/^[{]/", "--multiline-wait", "50ms"]);
    pod.append("app.log", "{\"a\":{\n \"b\":1\n},\n\"msg\":\"x\"}\n");
    pod.wait_for(1);
    pod.stop(running);
    assert_eq!(pod.store.documents("app")[0].source["a"]["b"], 1);
}

#[test]
fn of_a_sample_the_same_lines_are_sent_after_a_kill() {
    let pod = Pod::new();
    let more = ["--sample", "10:/line/"];
    let debug: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    pod.append("app.log", &(debug + "ERROR\n"));
    let sent = || pod.store.messages("app");
    for _ in 0..3 {
        let running = pod.start_with(&[&more[..], &["--start", "head"]].concat());
        running.wait_for_log("the sink is there");
        wait::until("the error", || sent().contains(&"ERROR".to_owned()).then_some(()));
        running.kill();
    }
    let running = pod.start_with(&more);
    running.wait_for_log("the sink is there");
    pod.stop(running);
    let sent = sent().len() - 1;
    assert!((400..600).contains(&sent), "{sent}");
}

#[test]
fn no_more_is_read_in_a_second_than_was_said() {
    let pod = Pod::new();
    pod.append("app.log", "x".repeat(99).add("\n").repeat(4000));
    let started = Instant::now();
    let running = pod.start_with(&["--rate", "100KiB", "--batch-size", "16KiB", "--max-record", "8KiB"]);
    pod.wait_for(4000);
    // 391 KiB: what is left at first, and a block that may be more.
    assert!(
        started.elapsed() >= Duration::from_millis(1200),
        "{:?}",
        started.elapsed()
    );
    // A stop does not wait.
    pod.append("app.log", "y".repeat(99).add("\n").repeat(40_000));
    pod.stop(running);
    assert_eq!(pod.store.documents("app").len(), 44_000);
}
