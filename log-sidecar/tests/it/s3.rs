//! Objects in a bucket. Whether a signature is right, `testbed/peers` shows with a store that is not ours.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::read::GzDecoder;
use serde_json::Value;
use testbed::http::{Reply, Request, Server};
use testbed::process::{Running, code_and_stderr};
use testbed::wait;

use crate::Pod;

/// What the store does with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Keep,
    /// Keeps it, and closes the connection.
    KeepSilently,
    /// Keeps it, and says nothing.
    KeepAndHang,
    Refuse(u16, &'static str),
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    puts: Vec<Request>,
    /// How often an object was there already.
    repeats: usize,
}

struct Bucket {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Bucket {
    fn start(mut judge: impl FnMut() -> Does + Send + 'static) -> Self {
        Self::judging(move |_| judge())
    }

    fn judging(judge: impl FnMut(&Request) -> Does + Send + 'static) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, judge) = (Arc::clone(&state), Mutex::new(judge));
        let server = Server::start("127.0.0.1:0", move |request| {
            if request.method != "PUT" {
                return Reply::text(403, "");
            }
            let mut state = shared.lock().unwrap();
            state.puts.push(request.clone());
            let does = judge.lock().unwrap()(request);
            if let Does::Refuse(status, said) = does {
                return Reply::new(status, "application/xml", said);
            }
            if request.header("if-none-match") == Some("*") && state.objects.contains_key(&request.target) {
                state.repeats += 1;
                return Reply::text(412, "<Code>PreconditionFailed</Code>");
            }
            state.objects.insert(request.target.clone(), request.body.clone());
            match does {
                Does::KeepSilently => Reply::Close,
                Does::KeepAndHang => Reply::Hang(Vec::new()),
                _ => Reply::text(200, ""),
            }
        });
        Self {
            server: server.unwrap(),
            state,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Of every object.
    fn documents(&self) -> Vec<Value> {
        let mut documents = Vec::new();
        for (key, object) in &self.state().objects {
            let mut text = Vec::new();
            if key.ends_with(".gz") {
                GzDecoder::new(&object[..]).read_to_end(&mut text).unwrap();
            } else {
                text.clone_from(object);
            }
            assert_eq!(text.last(), Some(&b'\n'));
            documents.extend(
                text[..text.len() - 1]
                    .split(|&byte| byte == b'\n')
                    .map(|line| serde_json::from_slice::<Value>(line).unwrap()),
            );
        }
        documents
    }

    /// Of objects that are not packed.
    fn lines(&self) -> usize {
        let state = self.state();
        let bytes = state.objects.values().flatten();
        bytes.filter(|&&byte| byte == b'\n').count()
    }

    fn wait_for(&self, count: usize) {
        wait::until("the lines", || (self.documents().len() >= count).then_some(()));
    }

    /// Each of them once.
    fn assert_lines(&self, count: usize) {
        let mut times = HashMap::<_, usize>::new();
        for document in self.documents() {
            *times
                .entry(document["message"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        for number in 0..count {
            assert_eq!(times.remove(&format!("line {number}")), Some(1), "line {number}");
        }
        assert!(times.is_empty(), "{times:?}");
    }

    fn command(&self, pod: &Pod, folder: &str, more: &[&str]) -> Command {
        let endpoint = format!("http://{}/below", self.server.address());
        let mut command = pod.command_to(&format!("s3://logs/{folder}"), &["--s3-endpoint", &endpoint]);
        command
            .args(more)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "word");
        command
    }

    fn ship(&self, pod: &Pod, more: &[&str]) -> Running {
        Running::spawn(&mut self.command(pod, "app", more))
    }
}

#[test]
fn a_batch_is_an_object_in_a_folder_of_its_time() {
    for (more, ending, kind) in [
        (&[][..], ".ndjson", "application/x-ndjson"),
        (&["--compress=gzip"], ".ndjson.gz", "application/gzip"),
    ] {
        let (pod, bucket) = (Pod::new(), Bucket::start(|| Does::Keep));
        pod.append("app.log", "2026-11-26T10:00:00.5Z line 0\n");
        pod.append_lines("app.log", 1..1000);
        let more = [&["--header", "x-amz-storage-class=STANDARD_IA"], more].concat();
        let running = Running::spawn(&mut bucket.command(&pod, "a b/%Y", &more));
        bucket.wait_for(1000);
        pod.stop(running);
        let documents = bucket.documents();
        let of = |text: &str| documents.iter().find(|document| document["message"] == text).unwrap();
        let first = of("2026-11-26T10:00:00.5Z line 0");
        assert_eq!(first["@timestamp"], "2026-11-26T10:00:00.500Z");
        assert!(first["event"]["id"].as_str().unwrap().contains("-0-"));
        assert!(first["log"]["file"]["path"].as_str().unwrap().ends_with("/app.log"));
        let state = bucket.state();
        let put = &state.puts[0];
        let (folder, name) = put.target.rsplit_once('/').unwrap();
        assert!(folder.starts_with("/below/logs/a%20b/20") && folder.len() == "/below/logs/a%20b/2026".len());
        assert!(name.ends_with(ending) && name.len() == "20261126T100000Z-0123456789abcdef".len() + ending.len());
        assert_eq!(put.header("content-type"), Some(kind));
        assert_eq!(put.header("if-none-match"), Some("*"));
        assert_eq!(put.header("x-amz-storage-class"), Some("STANDARD_IA"));
        let signed = put.header("authorization").unwrap();
        let names = "SignedHeaders=host;x-amz-checksum-crc32;x-amz-content-sha256;x-amz-date;x-amz-storage-class,";
        assert!(
            signed.contains("Credential=AKIDEXAMPLE/") && signed.contains("/us-east-1/s3/") && signed.contains(names),
            "{signed}"
        );
        assert_eq!(put.header("x-amz-content-sha256").map(str::len), Some(64));
    }
}

/// Nobody wants thousands of objects: what is not enough for one stays where it is.
#[test]
fn lines_stay_in_their_files_until_there_are_enough() {
    let (pod, bucket) = (Pod::new(), Bucket::start(|| Does::Keep));
    let running = bucket.ship(
        &pod,
        &["--flush-interval=1h", "--batch-size=64KiB", "--max-record=4KiB"],
    );
    let admin = running.address("admin listening");
    for round in 0..20 {
        pod.append_lines("app.log", round * 10..round * 10 + 10);
        let backlog = format!("log_backlog_bytes {}", fs::metadata(pod.log("app.log")).unwrap().len());
        wait::until("the look at it", || {
            let metrics = testbed::client::get(&admin, "/metrics").unwrap().text();
            metrics.contains(&backlog).then_some(())
        });
    }
    assert!(bucket.state().puts.is_empty());
    pod.append_lines("app.log", 200..20_000);
    // All but what is not enough for one more.
    bucket.wait_for(10_000);
    assert!(
        bucket
            .documents()
            .iter()
            .any(|document| document["message"] == "line 0")
    );
    // What is left goes at the end.
    pod.stop(running);
    bucket.assert_lines(20_000);
    let objects = bucket.state().objects.len();
    assert!((2..=5).contains(&objects), "{objects}");
}

#[test]
fn after_a_kill_the_same_lines_go_under_the_same_name() {
    let mut puts = 0;
    let (pod, bucket) = (
        Pod::new(),
        Bucket::start(move || {
            puts += 1;
            match puts % 5 {
                1 => Does::KeepAndHang,
                2 => Does::KeepSilently,
                3 => Does::Refuse(503, "<Code>SlowDown</Code>"),
                _ => Does::Keep,
            }
        }),
    );
    let mut lines = 0;
    // Filters leave holes in what is sent.
    let more = [
        "--batch-size=16KiB",
        "--max-record=4KiB",
        "--flush-interval=20ms",
        "--request-timeout=300ms",
        "--drop=/^none/",
        "--multiline=java",
        "--multiline-wait=10ms",
    ];
    for round in 0..20 {
        let running = bucket.ship(&pod, &more);
        let before = bucket.state().puts.len();
        for part in 0..10 {
            for name in ["app.log", "b.log"] {
                pod.append(name, "none of this\n".repeat(part));
                pod.append_lines(name, lines..lines + 40);
                lines += 40;
            }
            if (round + part) % 7 == 3 {
                fs::rename(pod.log("b.log"), pod.log(&format!("b.log.{round}-{part}"))).unwrap();
            }
        }
        wait::until("a try", || (bucket.state().puts.len() > before).then_some(()));
        running.kill();
    }
    let running = bucket.ship(&pod, &more);
    bucket.wait_for(lines);
    pod.stop(running);
    bucket.assert_lines(lines);
    assert!(bucket.state().repeats > 0);
}

/// Whether the store has the whole or not, the rest of it has its name: it is there once.
#[test]
fn what_is_not_there_any_more_is_told_and_the_rest_is_sent() {
    for does in [Does::Refuse(503, ""), Does::KeepAndHang] {
        let (pod, bucket) = (Pod::new(), Bucket::start(move || does));
        pod.append_lines("app.log", 0..10);
        pod.append_lines("b.log", 10..20);
        let running = bucket.ship(&pod, &[]);
        wait::until("a try", || (!bucket.state().puts.is_empty()).then_some(()));
        running.kill();
        fs::remove_file(pod.log("b.log")).unwrap();
        let again = Bucket::start(|| Does::Keep);
        again.state().objects.clone_from(&bucket.state().objects);
        let running = again.ship(&pod, &[]);
        running.wait_for_log("the rest goes under its name");
        running.wait_for_log("a file of the checkpoint is gone");
        again.wait_for(10);
        pod.stop(running);
        let documents = again.documents();
        let stored = if does == Does::KeepAndHang { 20 } else { 10 };
        let messages: HashSet<_> = documents
            .iter()
            .map(|document| document["message"].to_string())
            .collect();
        assert_eq!((documents.len(), messages.len()), (stored, stored));
    }
}

/// Its name is that of the first time, and what was dropped between two objects is no reason for another one.
#[test]
fn settings_that_change_after_a_kill_double_nothing() {
    for (before, after) in [
        (
            &["--drop=/none/"][..],
            &["--drop=/none/", "--drop=/^line [0-4]$/", "--redact=/line 7/"][..],
        ),
        (&["--drop=/none/", "--multiline=java"], &["--drop=/none/"]),
    ] {
        let (pod, bucket) = (Pod::new(), Bucket::start(|| Does::KeepAndHang));
        for round in 0..6 {
            pod.append("app.log", "none of this\n".repeat(4000));
            pod.append_lines("app.log", round * 10..round * 10 + 10);
        }
        let small = [
            "--batch-size=16KiB",
            "--max-record=4KiB",
            "--in-flight=4MiB",
            "--flush-interval=10ms",
        ];
        let running = bucket.ship(&pod, &[&small[..], before].concat());
        wait::until("a try", || (!bucket.state().puts.is_empty()).then_some(()));
        running.kill();
        let again = Bucket::start(|| Does::Keep);
        again.state().objects.clone_from(&bucket.state().objects);
        let running = again.ship(&pod, &[&small[..], after].concat());
        again.wait_for(60);
        pod.stop(running);
        again.assert_lines(60);
        let checkpoint = fs::read_to_string(pod.state("checkpoint.json")).unwrap();
        assert!(!checkpoint.contains("intents"), "{checkpoint}");
    }
}

/// What waits for the checkpoint goes when that can be written again, however much it is.
#[test]
fn a_state_directory_that_cannot_be_written_for_a_while_stops_nothing_for_good() {
    let (pod, bucket) = (Pod::new(), Bucket::start(|| Does::Keep));
    let more = ["--batch-size=256KiB", "--in-flight=512KiB", "--flush-interval=1h"];
    let running = bucket.ship(&pod, &more);
    let mut lines = 40_000;
    pod.append_lines("app.log", 0..lines);
    // What is not enough for an object stays in the file.
    let wait_for = |lines| wait::until("the lines", || (bucket.lines() + 30_000 >= lines).then_some(()));
    wait_for(lines);
    // Whether it is noticed before anything is read, or only with the first batch, differs.
    for round in 1..5 {
        fs::rename(pod.state(""), pod.dir.path().join("away")).unwrap();
        fs::write(pod.dir.path().join("state"), "in the way").unwrap();
        pod.append_lines("app.log", lines..lines + 40_000);
        lines += 40_000;
        let noticed = |text| running.stderr().iter().filter(|line| line.contains(text)).count() >= round;
        wait::until("the error", || noticed("cannot write the checkpoint").then_some(()));
        fs::remove_file(pod.dir.path().join("state")).unwrap();
        fs::rename(pod.dir.path().join("away"), pod.state("")).unwrap();
        wait::until("the end of it", || {
            noticed("the checkpoint is written again").then_some(())
        });
        wait_for(lines);
    }
    pod.stop(running);
    bucket.assert_lines(lines);
}

#[test]
fn a_store_that_knows_no_conditions_is_asked_without() {
    let mut puts = 0;
    let (pod, bucket) = (
        Pod::new(),
        Bucket::start(move || {
            puts += 1;
            match puts {
                1 => Does::Refuse(501, "<Code>NotImplemented</Code>"),
                2 => Does::Refuse(403, "<Code>AccessDenied</Code>"),
                _ => Does::Keep,
            }
        }),
    );
    pod.append_lines("app.log", 0..10);
    let running = bucket.ship(&pod, &[]);
    running.wait_for_log("AccessDenied");
    bucket.wait_for(10);
    pod.stop(running);
    bucket.assert_lines(10);
    assert_eq!(bucket.state().puts[2].header("if-none-match"), None);
}

/// By a proxy on the way, as long as it does: a part must never stand for the whole.
#[test]
fn what_is_too_large_goes_in_parts_of_their_own_names() {
    let mut kept = 0;
    let (pod, bucket) = (
        Pod::new(),
        Bucket::judging(move |request| {
            if request.body.len() > 20_000 {
                return Does::Refuse(413, "<html>");
            }
            kept += 1;
            // The first part is there, and nothing else.
            if kept == 1 { Does::Keep } else { Does::Refuse(503, "") }
        }),
    );
    pod.append_lines("app.log", 0..500);
    let running = bucket.ship(&pod, &[]);
    wait::until("a part", || (bucket.state().objects.len() == 1).then_some(()));
    running.kill();
    let objects = std::mem::take(&mut bucket.state().objects);
    let again = Bucket::start(|| Does::Keep);
    again.state().objects = objects;
    let running = again.ship(&pod, &[]);
    again.wait_for(500);
    pod.stop(running);
    let documents = again.documents().into_iter();
    let all: HashSet<_> = documents.map(|document| document["message"].to_string()).collect();
    assert_eq!(all.len(), 500);
}

#[test]
fn keys_for_a_while_are_asked_for_and_asked_for_anew() {
    let asked = Arc::new(Mutex::new(0));
    let shared = Arc::clone(&asked);
    let agent = Server::start("127.0.0.1:0", move |request| {
        assert_eq!(request.header("authorization"), Some("agent-word"));
        assert_eq!(request.header("x-amz-storage-class"), None);
        let mut asked = shared.lock().unwrap();
        *asked += 1;
        match *asked {
            1 => Reply::text(500, "not yet"),
            times => Reply::new(
                200,
                "application/json",
                format!(
                    r#"{{"AccessKeyId":"ASIA{times}","SecretAccessKey":"secret","Token":"token","Expiration":"2099-01-01T00:00:00Z"}}"#
                ),
            ),
        }
    })
    .unwrap();
    let mut puts = 0;
    let (pod, bucket) = (
        Pod::new(),
        Bucket::start(move || {
            puts += 1;
            match puts {
                2 => Does::Refuse(400, "<Code>ExpiredToken</Code>"),
                _ => Does::Keep,
            }
        }),
    );
    pod.append_lines("app.log", 0..10);
    let mut command = bucket.command(&pod, "app", &["--header=x-amz-storage-class=STANDARD_IA"]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent-word")
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{}/keys", agent.address()),
        );
    let running = Running::spawn(&mut command);
    running.wait_for_log("not yet");
    bucket.wait_for(10);
    pod.append_lines("app.log", 10..20);
    bucket.wait_for(20);
    pod.stop(running);
    let state = bucket.state();
    let whose: Vec<_> = state
        .puts
        .iter()
        .map(|put| put.header("authorization").unwrap()[..45].to_owned())
        .collect();
    assert!(
        whose[0].contains("ASIA2/") && whose[1].contains("ASIA2/") && whose[2].contains("ASIA3/"),
        "{whose:?}"
    );
    assert_eq!(state.puts[0].header("x-amz-security-token"), Some("token"));
}

#[test]
fn a_check_finds_no_bucket_or_another_region() {
    for (status, told) in [
        (404, "there is no bucket logs"),
        (301, "the bucket is in eu-north-1, not in us-east-1"),
        (200, "the sink is there"),
    ] {
        let server = Server::start("127.0.0.1:0", move |request| {
            assert!(request.header("authorization").is_some());
            Reply::Full {
                status,
                headers: vec![("x-amz-bucket-region".into(), "eu-north-1".into())],
                body: Vec::new(),
            }
        })
        .unwrap();
        let mut command = testbed::process::command(crate::BIN);
        command
            .args(["check", "--online", "--include", "/logs/*.log", "--to", "s3://logs"])
            .args(["--s3-endpoint", &format!("http://{}", server.address())])
            .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
        let (code, said) = code_and_stderr(&command.output().unwrap());
        assert!(code == Some(i32::from(status != 200)) && said.contains(told), "{said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let check = |to: &str, more: &[&str], keys: &[(&str, &str)]| {
        let mut command = testbed::process::command(crate::BIN);
        command
            .args(["check", "--include", "/logs/*.log", "--to", to])
            .args(more)
            .envs(keys.iter().copied());
        code_and_stderr(&command.output().unwrap())
    };
    assert_eq!(check("s3://logs", &[], &[]).0, Some(0));
    assert_eq!(
        check("s3://logs/a/%Y/%m", &["--s3-endpoint", "http://store:9000"], &[]).0,
        Some(0)
    );
    for (to, more, keys, told) in [
        ("s3://L", &[][..], &[][..], "a bucket has 3 to 63"),
        ("s3://logs/%x", &[], &[], "is no folder"),
        ("s3://logs", &["--s3-endpoint", "store:9000"], &[], "s3-endpoint"),
        (
            "s3://logs",
            &["--username", "a", "--password", "env:P"],
            &[],
            "AWS_ACCESS_KEY_ID",
        ),
        ("s3://logs", &[], &[("AWS_ACCESS_KEY_ID", "a")], "one is not set"),
        ("stdout", &["--s3-region", "a"], &[], "the sink is no bucket"),
        (
            "s3://logs",
            &["--header", "If-None-Match=x"],
            &[],
            "is what log-sidecar says itself",
        ),
        (
            "s3://logs",
            &["--header", "x-amz-date=x"],
            &[],
            "is what log-sidecar says itself",
        ),
        ("s3://logs", &["--header", "x-amz-meta-a=é"], &[], "is not ASCII"),
        (
            "s3://logs",
            &["--ready-lag", "60s"],
            &[],
            "ready-lag has to be more than flush-interval",
        ),
        (
            "s3://logs",
            &[],
            &[("AWS_ENDPOINT_URL", "minio:9000")],
            "AWS_ENDPOINT_URL is no http",
        ),
    ] {
        let (code, said) = check(to, more, keys);
        assert!(code == Some(2) && said.contains(told), "{told:?} is not in: {said}");
    }
}
