//! Several sinks at once: each gets what is its own, and none waits for another.

use std::fs;
use std::process::Output;

use testbed::peer::{Store, Verdict};
use testbed::process::{Running, code_and_stderr, command};
use testbed::{client, wait};

use crate::{BIN, Pod};

/// Writes a file with these sinks and what stands beside them, and returns its path.
pub(crate) fn file(pod: &Pod, text: &str) -> String {
    let path = pod.dir.path().join("config.yaml");
    let (logs, state) = (pod.log(""), pod.state(""));
    let common = format!(
        "include: {}*.log\nstate: {}\nadmin: 127.0.0.1:0\nflush-interval: 10ms\nretry-max: 50ms\ndrain-quiet: 50ms\npoll: 50ms\n",
        logs.display(),
        state.display()
    );
    fs::write(&path, common + text).unwrap();
    path.display().to_string()
}

pub(crate) fn start(pod: &Pod, text: &str) -> Running {
    Running::spawn(
        command(BIN)
            .args(["--config", &file(pod, text)])
            .env("HOSTNAME", "pod-1"),
    )
}

fn run(pod: &Pod, verb: &str, text: &str, more: &[&str]) -> Output {
    let mut command = command(BIN);
    command.args([verb, "--config", &file(pod, text)]).args(more);
    command.output().unwrap()
}

/// `NAME: {to: …}` of a store.
pub(crate) fn to(name: &str, store: &Store, more: &str) -> String {
    format!(
        "  {name}:\n    to: elasticsearch+http://{}/app\n{more}",
        store.address()
    )
}

pub(crate) fn has(store: &Store, count: usize) {
    wait::until("the lines", || (store.messages("app").len() >= count).then_some(()));
}

#[track_caller]
pub(crate) fn assert_lines(store: &Store, range: std::ops::Range<usize>) {
    let mut messages = store.messages("app");
    messages.sort_unstable();
    let mut expected: Vec<String> = range.map(|n| format!("line {n}")).collect();
    expected.sort_unstable();
    assert_eq!(messages, expected);
}

#[test]
fn a_sink_that_is_down_holds_no_other_and_loses_nothing() {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    other.refuse_all(Some(503));
    // More than one sink may have in flight.
    let small = "in-flight: 64KiB\nbatch-size: 8KiB\nmax-record: 8KiB\n";
    let sinks = format!("{small}sinks:\n{}{}", to("a", &pod.store, ""), to("b", &other, ""));
    for life in 0..3 {
        let running = start(&pod, &sinks);
        for part in 0..10 {
            let from = life * 10_000 + part * 1000;
            pod.append_lines("app.log", from..from + 1000);
        }
        has(&pod.store, (life + 1) * 10_000);
        if life < 2 {
            running.kill();
            continue;
        }
        assert!(other.messages("app").is_empty());
        let told = running.wait_for_log("did not take everything");
        assert!(told.contains("\"sink\":\"b\""), "{told}");
        other.refuse_all(None);
        has(&other, 30_000);
        pod.stop(running);
    }
    assert_lines(&pod.store, 0..30_000);
    assert_lines(&other, 0..30_000);
    assert!(pod.state("sinks/a/checkpoint.json").exists() && pod.state("sinks/b/checkpoint.json").exists());
}

#[test]
fn each_gets_what_it_asks_for_and_the_rest_as_it_stands_beside() {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    pod.append(
        "app.log",
        "{\"msg\":\"one\",\"token\":\"Bearer abcdefgh12345678\"}\n{\"msg\":\"health\"}\n",
    );
    pod.append("access.log", "access\n");
    let raw = format!("    include: {}\n    drop: /health/\n", pod.log("app.log").display());
    let sinks = format!(
        "redact: bearer\nsinks:\n{}{}",
        to("search", &pod.store, "    parse: json\n"),
        to("raw", &other, &raw)
    );
    let running = start(&pod, &sinks);
    has(&pod.store, 3);
    has(&other, 1);
    let admin = running.address("admin listening");
    let metrics = wait::until("the account", || {
        let metrics = client::get(&admin, "/metrics").unwrap().text();
        metrics
            .contains("log_records_acked_total{sink=\"search\"} 3\n")
            .then_some(metrics)
    });
    assert!(
        metrics.contains("log_records_dropped_total{sink=\"raw\"} 1\n"),
        "{metrics}"
    );
    assert_eq!(metrics.matches("# TYPE log_records_acked").count(), 1, "{metrics}");
    pod.stop(running);
    let mut parsed = pod.store.messages("app");
    parsed.sort_unstable();
    assert_eq!(parsed, ["access", "health", "one"]);
    let raw = other.messages("app");
    assert!(
        raw.len() == 1 && raw[0].starts_with("{\"msg\":\"one\",\"token\":\"Bearer ***"),
        "{raw:?}"
    );
}

#[test]
fn named_sinks_start_where_the_one_without_a_name_ended() {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    pod.store.judge(|document| match document.message() {
        "line 7" => Verdict::Refuse(400),
        _ => Verdict::Store,
    });
    pod.append_lines("app.log", 0..100);
    let running = pod.start();
    pod.wait_for(99);
    pod.stop(running);
    pod.store.judge(|_| Verdict::Store);
    let sinks = format!("sinks:\n{}{}", to("a", &pod.store, ""), to("b", &other, ""));
    for life in 1..3 {
        pod.append_lines("app.log", life * 100..life * 100 + 100);
        let running = start(&pod, &sinks);
        has(&other, life * 100);
        has(&pod.store, life * 100 + 99);
        pod.stop(running);
    }
    assert_lines(&other, 100..300);
    assert_eq!(pod.store.conflicts(), 0, "nothing was sent again");
    // The first has what was rejected.
    let (code, said) = code_and_stderr(&run(&pod, "replay", &sinks, &["--sink", "b"]));
    assert!(code == Some(0) && said.contains("nothing was rejected"), "{said}");
    let (code, said) = code_and_stderr(&run(&pod, "replay", &sinks, &[]));
    assert!(code == Some(0) && said.contains("sent again 1, taken 1"), "{said}");
    assert_lines(&pod.store, 0..300);

    // The way back is not guessed.
    let mut running = pod.start();
    assert_eq!(running.exit().code(), Some(1));
    running.wait_for_log("has the positions of the sinks a, b");
}

#[test]
fn what_is_wrong_with_sinks_is_told_with_its_place() {
    let pod = Pod::new();
    for (text, told) in [
        ("sinks: {a: {}}\n", "config.yaml:8:12: a: to is missing"),
        (
            "to: stdout\nsinks: {a: {to: stdout}}\n",
            "to: has no effect: with sinks in the file",
        ),
        ("sinks: {a/b: {to: stdout}}\n", "\"a/b\" is no name of a sink"),
        ("sinks: {a: {to: stdout, state: /x}}\n", "state: is not a setting"),
        ("sinks: {a: {to: stdout, compress: gzip}}\n", "compress: has no effect"),
        ("sinks: {a: {to: stdout, start: then}}\n", "\"then\" is not valid"),
        (
            "hold: x\nsinks: {a: {to: stdout}, b: {to: stdout}}\n",
            "config.yaml:8:1: hold: has no effect on any of them",
        ),
    ] {
        let (code, said) = code_and_stderr(&run(&pod, "check", text, &[]));
        assert!(code == Some(2) && said.contains(told), "{text}{said}");
    }
    let mut unsaid = command(BIN);
    unsaid
        .args(["check", "--config", &file(&pod, "sinks: {a: {}}\n")])
        .env("LOG_SIDECAR_TO", "stdout");
    let (code, said) = code_and_stderr(&unsaid.output().unwrap());
    assert!(code == Some(2) && said.contains("a: to is missing"), "{said}");
    let logins = "api-key: env:KEY\nsinks:\n  a: {to: 'otlp+http://127.0.0.1:1'}\n  b: {to: 'otlp+http://127.0.0.1:1', bearer: env:TOKEN}\n";
    assert_eq!(run(&pod, "check", logins, &[]).status.code(), Some(0));
    let fine = "compress: gzip\nsinks: {a: {to: stdout}, b: {to: 'otlp+http://127.0.0.1:4318'}}\n";
    let (code, said) = code_and_stderr(&run(&pod, "check", fine, &[]));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = code_and_stderr(&run(&pod, "replay", fine, &["--sink", "c"]));
    assert!(
        code == Some(2) && said.contains("there is no sink \"c\"; those with a name: a, b"),
        "{said}"
    );
    let (code, said) = code_and_stderr(&run(&pod, "try", fine, &[]));
    assert!(code == Some(2) && said.contains("there are several sinks"), "{said}");
    assert_eq!(run(&pod, "try", fine, &["--sink", "b"]).status.code(), Some(0));
}

/// Wherever a kill ends it, and whatever the sinks are called then.
#[test]
fn a_take_over_that_was_ended_in_the_middle_is_finished_or_undone() {
    for (is_committed, copied) in [(false, 0), (true, 0), (true, 1), (true, 2)] {
        for names in [["a", "b"], ["c", "b"]] {
            let (pod, other) = half_taken_over(is_committed, copied);
            let sinks = format!("sinks:\n{}{}", to(names[0], &pod.store, ""), to(names[1], &other, ""));
            let running = start(&pod, &sinks);
            pod.wait_for(200);
            has(&other, 100);
            pod.stop(running);
            assert_lines(&other, 100..200);
            pod.assert_lines(200);
            assert_eq!(pod.store.conflicts(), 0);
            for old in ["checkpoint.json", "checkpoint.json.clean", "checkpoint.taken.json"] {
                assert!(!pod.state(old).exists(), "{old}");
            }
        }
        // Back to one sink, and later to several: nothing has stayed from the first time.
        let (pod, other) = half_taken_over(is_committed, copied);
        let running = pod.start();
        pod.wait_for(200);
        pod.stop(running);
        let running = start(
            &pod,
            &format!("sinks:\n{}{}", to("a", &pod.store, ""), to("b", &other, "")),
        );
        running.wait_for_log("the sinks start where");
        pod.append_lines("app.log", 200..300);
        pod.wait_for(300);
        has(&other, 100);
        pod.stop(running);
        pod.assert_lines(300);
        assert_lines(&other, 200..300);
        assert_eq!(pod.store.conflicts(), 0);
    }
}

/// The sinks a and b have taken over so far what one without a name has left after 100 lines; there are 100 more.
fn half_taken_over(is_committed: bool, copied: usize) -> (Pod, Store) {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    pod.append_lines("app.log", 0..100);
    let running = pod.start();
    pod.wait_for(100);
    pod.stop(running);
    if is_committed {
        fs::create_dir(pod.state("sinks")).unwrap();
        fs::remove_file(pod.state("checkpoint.json.clean")).unwrap();
        fs::rename(pod.state("checkpoint.json"), pod.state("checkpoint.taken.json")).unwrap();
        for name in ["a", "b"].iter().take(copied) {
            let own = pod.state("sinks").join(name);
            fs::create_dir(&own).unwrap();
            fs::copy(pod.state("checkpoint.taken.json"), own.join("checkpoint.json")).unwrap();
        }
    }
    pod.append_lines("app.log", 100..200);
    (pod, other)
}

/// A file of another one is no directory of ours.
#[test]
fn what_stands_in_the_way_of_the_sinks_is_named() {
    let pod = Pod::new();
    fs::create_dir_all(pod.state("")).unwrap();
    fs::write(pod.state("sinks"), "theirs").unwrap();
    let mut running = start(&pod, &format!("sinks:\n{}", to("a", &pod.store, "")));
    assert_eq!(running.exit().code(), Some(1));
    let told = running.wait_for_log("cannot use the state directory");
    assert!(told.contains("/sinks/a: "), "{told}");
}

/// The state directory may be that of the logs: only our own files are ours.
#[test]
fn files_of_others_in_the_state_directory_are_theirs() {
    let pod = Pod::new();
    fs::create_dir_all(pod.log("shop")).unwrap();
    pod.append("shop/checkpoint.json", "{}\n");
    pod.append("shop/dead-letter.ndjson", "theirs\n");
    pod.append("shop/app.log", "app\n");
    for text in [
        format!("sinks:\n{}", to("a", &pod.store, "")),
        format!("to: elasticsearch+http://{}/app\n", pod.store.address()),
    ] {
        let path = file(&pod, &text);
        let with = fs::read_to_string(&path).unwrap();
        let (logs, state) = (pod.log(""), pod.state(""));
        let with = with.replace("*.log\n", "**/*\n").replace(
            &format!("state: {}", state.display()),
            &format!("state: {}", logs.display()),
        );
        fs::write(&path, with).unwrap();
        if pod.log("sinks").exists() {
            fs::remove_dir_all(pod.log("sinks")).unwrap();
        }
        let running = Running::spawn(command(BIN).args(["--config", &path]).env("HOSTNAME", "pod-1"));
        running.wait_for_log("shop/app.log");
        has(&pod.store, 3);
        pod.stop(running);
        let mut messages = pod.store.messages("app");
        messages.sort_unstable();
        assert_eq!(messages, ["app", "theirs", "{}"]);
    }
}

#[test]
fn positions_that_nobody_uses_are_told() {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    let sinks = |second: &str| format!("sinks:\n{}{}", to("a", &pod.store, ""), to(second, &other, ""));
    let running = start(&pod, &sinks("b"));
    running.wait_for_log("no file matches yet");
    pod.stop(running);
    let running = start(&pod, &sinks("c"));
    let told = running.wait_for_log("of a sink that is not configured");
    assert!(told.contains("/sinks/b"), "{told}");
    pod.stop(running);
    // A second process, whatever its sinks are called.
    let running = start(&pod, &sinks("c"));
    running.wait_for_log("no file matches yet");
    let mut single = pod.start();
    assert_eq!(single.exit().code(), Some(1));
    single.wait_for_log("another log-sidecar uses it");
    pod.stop(running);
}
