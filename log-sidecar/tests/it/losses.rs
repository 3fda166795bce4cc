//! What is lost before it is read is told, counted, and in the store; nothing else is.

use std::fs::{self, OpenOptions};

use testbed::client;
use testbed::process::Running;
use testbed::wait;

use crate::Pod;

const SMALL: [&str; 4] = ["--in-flight", "600KiB", "--batch-size", "8KiB"];
/// Far more than is in flight.
const LINES: usize = 10_000;

/// A pod whose store takes nothing, with lines of `app.log` of which not all are read; and how long that is.
fn pod_with_backlog() -> (Pod, Running, u64) {
    let pod = Pod::new();
    pod.store.refuse_all(Some(503));
    let line = |number| format!("{number:0200}\n");
    pod.append("app.log", (0..LINES).map(line).collect::<String>());
    let size = fs::metadata(pod.log("app.log")).unwrap().len();
    let running = pod.start_with(&SMALL);
    wait_until_seen(&running, size);
    (pod, running, size)
}

/// All of `size` bytes, read or not.
fn wait_until_seen(running: &Running, size: u64) {
    let admin = running.address("admin listening");
    wait::until("all of it to be seen", || {
        let metrics = client::get(&admin, "/metrics").unwrap().text();
        let value = |name: &str| -> Option<u64> {
            let line = metrics.lines().find(|line| line.starts_with(name))?;
            line.rsplit(' ').next()?.parse().ok()
        };
        let (backlog, read) = (value("log_backlog_bytes ")?, value("log_read_bytes_total ")?);
        (backlog > 0 && read > 0 && backlog + read == size).then_some(())
    });
}

fn truncate(pod: &Pod, name: &str) {
    let file = OpenOptions::new().write(true).open(pod.log(name)).unwrap();
    file.set_len(0).unwrap();
}

/// Ends it, since something is lost with the code 1; what of it the one record says that tells of it, and how many bytes of lines came.
#[track_caller]
fn told(pod: &Pod, mut running: Running) -> (u64, u64) {
    wait::until("the record", || (!gaps(pod).is_empty()).then_some(()));
    running.terminate();
    assert_eq!(running.exit().code(), Some(1), "{:#?}", running.stderr());
    running.wait_for_log("lines are lost that were never read");
    running.wait_for_log("in flight 0, unread 0 bytes");
    let gaps = gaps(pod);
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    let lost = gap.strip_prefix("log-sidecar: about ").unwrap().split(' ').next();
    let lines = pod.store.messages("app").into_iter().filter(|message| message != gap);
    (
        lost.unwrap().parse().unwrap(),
        lines.map(|line| line.len() as u64 + 1).sum(),
    )
}

fn gaps(pod: &Pod) -> Vec<String> {
    let documents = pod.store.documents("app").into_iter();
    let gaps = documents.filter(|document| document.source["log"]["flags"][0] == "gap");
    gaps.map(|gap| gap.message().to_owned()).collect()
}

#[test]
fn what_is_truncated_before_it_was_read_is_told() {
    let (pod, running, size) = pod_with_backlog();
    truncate(&pod, "app.log");
    running.wait_for_log("truncated: read from its start");
    // Then no copy of it can come any more.
    fs::rename(pod.log("app.log"), pod.dir.path().join("away")).unwrap();
    running.wait_for_log("lines are lost");
    pod.store.refuse_all(None);
    let (lost, delivered) = told(&pod, running);
    assert!(lost > 0 && lost + delivered == size, "{lost} and {delivered} of {size}");
}

/// The start of a line is none yet, and what was written in its place is new.
#[test]
fn what_was_no_line_yet_or_is_written_anew_is_not_lost() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..100);
    let running = pod.start();
    pod.wait_for(100);
    let mut lines = 100;
    for round in 1..20 {
        // Shorter than before, and longer.
        let anew = if round % 2 == 0 { 10 } else { 10 * round };
        pod.append("app.log", "the start of a line");
        let admin = running.address("admin listening");
        wait::until("the look at it", || {
            let metrics = client::get(&admin, "/metrics").unwrap().text();
            metrics.contains("log_backlog_bytes 19\n").then_some(())
        });
        let line = |number| format!("line {number}\n");
        fs::write(pod.log("app.log"), (lines..lines + anew).map(line).collect::<String>()).unwrap();
        lines += anew;
        pod.wait_for(lines);
    }
    // Then no copy can come any more, and what is lost would be told.
    fs::rename(pod.log("app.log"), pod.dir.path().join("away")).unwrap();
    pod.append_lines("other.log", lines..lines + 1);
    pod.wait_for(lines + 1);
    pod.stop(running);
    pod.assert_lines(lines + 1);
}

#[test]
fn what_was_written_between_copy_and_truncation_is_told() {
    let (pod, running, size) = pod_with_backlog();
    fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    pod.append("app.log", "too late\n");
    wait_until_seen(&running, size + 9);
    truncate(&pod, "app.log");
    running.wait_for_log("lines are lost");
    pod.store.refuse_all(None);
    wait::until("the copy", || {
        (pod.store.documents("app").len() == LINES + 1).then_some(())
    });
    assert_eq!(told(&pod, running), (9, size));
}

#[test]
fn what_is_deleted_while_nobody_holds_it_is_told() {
    let (pod, running, size) = pod_with_backlog();
    running.kill();
    fs::remove_file(pod.log("app.log")).unwrap();
    pod.store.refuse_all(None);
    let running = pod.start_with(&SMALL);
    running.wait_for_log("a file of the checkpoint is gone");
    // What was on its way may have been delivered.
    let (lost, delivered) = told(&pod, running);
    assert!(lost > 0 && lost < size && delivered == 0, "{lost} of {size}");
}

/// The run that has noticed it is killed before the sink takes anything.
#[test]
fn a_loss_is_told_by_the_next_run_if_need_be_and_once() {
    let (pod, running, _) = pod_with_backlog();
    truncate(&pod, "app.log");
    running.wait_for_log("truncated: read from its start");
    fs::rename(pod.log("app.log"), pod.dir.path().join("away")).unwrap();
    running.wait_for_log("lines are lost");
    let waits = || fs::read_to_string(pod.state("checkpoint.json")).is_ok_and(|text| text.contains("\"losses\""));
    wait::until("the checkpoint", || waits().then_some(()));
    running.kill();
    pod.store.refuse_all(None);
    for _ in 0..2 {
        let mut running = pod.start_with(&SMALL);
        running.wait_for_log("the sink is there");
        wait::until("the record", || (gaps(&pod).len() == 1).then_some(()));
        wait::until("the checkpoint", || (!waits()).then_some(()));
        running.terminate();
        // It was counted by the run that has noticed it.
        assert_eq!(running.exit().code(), Some(0), "{:#?}", running.stderr());
    }
    assert_eq!(gaps(&pod).len(), 1);
}
