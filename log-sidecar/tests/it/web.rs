//! Whoever takes documents by HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testbed::http::{Reply, Server};
use testbed::wait;

use crate::Pod;

#[test]
fn documents_come_a_line_or_in_an_array_with_their_ids() {
    for (scheme, kind) in [("ndjson", "application/x-ndjson"), ("json", "application/json")] {
        let (pod, all) = (Pod::new(), Arc::new(Mutex::new(Vec::<Value>::new())));
        let shared = Arc::clone(&all);
        let mut answers = [500, 413, 400].into_iter();
        let answers = Mutex::new(move || answers.next());
        let server = Server::start("127.0.0.1:0", move |request| {
            if request.method == "HEAD" {
                return Reply::text(405, "");
            }
            assert_eq!(
                (
                    request.target.as_str(),
                    request.header("content-type"),
                    request.header("x-key")
                ),
                ("/in?stream=app", Some(kind), Some("a b"))
            );
            let documents: Vec<Value> = match request.body.first() {
                Some(b'[') => serde_json::from_slice(&request.body).unwrap(),
                _ => {
                    let lines = request.body.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n');
                    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
                }
            };
            if let Some(status) = answers.lock().unwrap()() {
                return Reply::text(status, "");
            }
            if documents.iter().any(|document| document["message"] == "line 7") {
                return Reply::text(422, "no such thing\n");
            }
            shared.lock().unwrap().extend(documents);
            Reply::text(202, "")
        });
        let server = server.unwrap();
        pod.append_lines("app.log", 0..500);
        let to = format!("{scheme}+http://{}/in?stream=app", server.address());
        let running = pod.start_to(&to, &["--header", "X-Key=a b", "--compress", "gzip"]);
        wait::until("all but one", || (all.lock().unwrap().len() >= 499).then_some(()));
        wait::until("the dead letter", || (pod.dead_letters_so_far() == 1).then_some(()));
        pod.stop(running);
        let documents = all.lock().unwrap();
        let ids: BTreeSet<_> = documents
            .iter()
            .map(|document| document["event"]["id"].as_str().unwrap())
            .collect();
        let messages: BTreeSet<_> = documents
            .iter()
            .map(|document| document["message"].as_str().unwrap())
            .collect();
        assert_eq!(
            (documents.len(), ids.len(), messages.len()),
            (499, 499, 499),
            "{scheme}"
        );
        assert_eq!(pod.dead_letters()[0]["message"], "line 7");
    }
}

/// Where nobody says which record is at fault, a file of bad ones is not in the way of the others.
#[test]
fn what_is_refused_as_a_whole_stops_no_other_file() {
    let (pod, taken) = (Pod::new(), Arc::new(Mutex::new(0)));
    let shared = Arc::clone(&taken);
    let server = Server::start("127.0.0.1:0", move |request| {
        let lines = request.body.iter().filter(|&&byte| byte == b'\n').count();
        if String::from_utf8_lossy(&request.body).contains("bad") {
            return Reply::text(400, "no such thing\n");
        }
        *shared.lock().unwrap() += lines;
        Reply::text(200, "")
    });
    let server = server.unwrap();
    pod.append("a.log", "bad line\n".repeat(40_000));
    let to = format!("ndjson+http://{}/", server.address());
    let more = ["--in-flight", "512KiB", "--batch-size", "64KiB", "--max-record", "8KiB"];
    let running = pod.start_to(&to, &more);
    running.wait_for_log("did not take everything");
    pod.append_lines("b.log", 0..10);
    wait::until("the good lines", || (*taken.lock().unwrap() >= 10).then_some(()));
    running.kill();
}

/// A proxy on the way refuses requests, not records: it has not looked at them.
#[test]
fn what_a_proxy_refuses_is_sent_again() {
    let (pod, state) = (Pod::new(), Arc::new(Mutex::new((0, Vec::new()))));
    let shared = Arc::clone(&state);
    let server = Server::start("127.0.0.1:0", move |request| {
        let (requests, taken) = &mut *shared.lock().unwrap();
        *requests += 1;
        if *requests % 3 != 0 {
            return Reply::new(400, "text/html", "<html>400 The SSL certificate error</html>");
        }
        let lines = String::from_utf8_lossy(&request.body);
        taken.extend(lines.lines().map(str::to_owned));
        Reply::text(200, "")
    });
    let server = server.unwrap();
    let taken = || state.lock().unwrap().1.len();
    let to = format!("ndjson+http://{}/", server.address());
    let running = pod.start_to(&to, &["--batch-size", "8KiB", "--max-record", "4KiB"]);
    for round in 0..10 {
        pod.append_lines("app.log", round * 100..round * 100 + 100);
        wait::until("the lines", || (taken() >= round * 100 + 100).then_some(()));
    }
    pod.stop(running);
    assert_eq!(taken(), 1000);
    assert!(pod.dead_letters().is_empty());
}
