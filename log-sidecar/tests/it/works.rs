use std::fs;

use testbed::client::get;
use testbed::contract::assert_admin_side;
use testbed::process::{Running, command};
use testbed::wait;

use crate::{BIN, Pod};

#[test]
fn every_line_arrives_once_with_its_place() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..1000);
    let running = pod.start();
    pod.wait_for(1000);
    pod.append_lines("app.log", 1000..2000);
    pod.wait_for(2000);
    pod.assert_lines(2000);
    let documents = pod.store.documents("app");
    let second = documents.iter().find(|d| d.message() == "line 1").unwrap();
    assert_eq!(second.source["log"]["offset"], 7);
    assert_eq!(
        second.source["log"]["file"]["path"],
        pod.log("app.log").to_str().unwrap()
    );
    assert!(second.source["@timestamp"].as_str().unwrap().ends_with('Z'));
    pod.stop(running);
}

#[test]
fn to_stdout_one_json_object_a_line_in_order() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..100);
    let include = pod.log("*.log");
    let args = [
        "--include",
        include.to_str().unwrap(),
        "--to",
        "stdout",
        "--admin",
        "off",
        "--drain-quiet",
        "10ms",
    ];
    let mut running = Running::spawn(command(BIN).args(args).env("POD_NAME", "pod-7"));
    wait::until("100 lines", || (running.stdout().len() == 100).then_some(()));
    for (number, line) in running.stdout().iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["message"], format!("line {number}"));
        assert_eq!(value["kubernetes.pod.name"], "pod-7");
    }
    running.terminate();
    assert!(running.exit().success());
    assert!(running.stderr().iter().any(|l| l.contains("no --state")));
}

#[test]
fn a_file_and_a_directory_that_come_later_are_found() {
    let pod = Pod::new();
    fs::remove_dir(pod.log("")).unwrap();
    let running = pod.start();
    running.wait_for_log("the sink is there");
    fs::create_dir(pod.log("")).unwrap();
    pod.append_lines("late.log", 0..10);
    pod.wait_for(10);
    pod.append_lines("later.log", 10..20);
    pod.append("other.txt", "not included\n");
    pod.wait_for(20);
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn a_line_is_shipped_when_it_is_whole() {
    let pod = Pod::new();
    let running = pod.start();
    pod.append("app.log", "line 0\nline ");
    pod.wait_for(1);
    pod.append("app.log", "1\n");
    pod.wait_for(2);
    pod.stop(running);
    pod.assert_lines(2);
}

#[test]
fn a_line_beyond_the_limit_is_cut_and_marked() {
    let pod = Pod::new();
    let long = |length: usize| "x".repeat(length);
    for length in [99, 100, 101, 600_000] {
        pod.append("app.log", format!("{}\n", long(length)));
    }
    pod.append("app.log", "after\n");
    let running = pod.start_with(&["--max-record", "100B"]);
    pod.wait_for(5);
    let documents = pod.store.documents("app");
    let found: Vec<_> = documents
        .iter()
        .map(|d| {
            (
                d.message().len(),
                d.source["log"]["flags"][0].as_str().map(str::to_owned),
            )
        })
        .collect();
    let cut = Some("truncated".to_owned());
    assert_eq!(
        found,
        [(99, None), (100, None), (100, cut.clone()), (100, cut), (5, None)]
    );
    pod.stop(running);
}

#[test]
fn the_admin_side_tells_state_and_account() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..5);
    let running = pod.start();
    let admin = running.address("admin listening");
    pod.wait_for(5);
    wait::until("readiness", || {
        (get(&admin, "/readyz").unwrap().status == 200).then_some(())
    });
    assert_eq!(get(&admin, "/healthz").unwrap().status, 200);
    let metrics = wait::until("5 acked", || {
        let text = get(&admin, "/metrics").unwrap().text();
        text.contains("log_records_acked_total 5").then_some(text)
    });
    assert!(
        metrics.contains("log_records_read_total 5") && metrics.contains("log_read_bytes_total 35"),
        "{metrics}"
    );
    assert_eq!(get(&admin, "/else").unwrap().status, 404);
    pod.stop(running);
}

#[test]
fn the_admin_side_is_as_in_every_sidecar() {
    let pod = Pod::new();
    let running = pod.start();
    let include = pod.log("*.log");
    let include = include.to_str().unwrap();
    assert_admin_side(&running, BIN, &["--include", include, "--to", "stdout"]);
}

#[test]
fn what_is_compressed_on_its_way_arrives_as_it_is() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..20_000);
    let running = pod.start_with(&["--compress", "gzip", "--batch-size", "32KiB"]);
    pod.wait_for(20_000);
    pod.stop(running);
    pod.assert_lines(20_000);
    assert!(pod.store.requests() > 0 && pod.store.packed() == pod.store.requests());
}
