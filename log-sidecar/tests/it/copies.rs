//! Copies and archives of what was read: none is taken for one while it may be all that is left, and nothing else is.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use testbed::wait;

use crate::Pod;

fn truncate(pod: &Pod, name: &str) {
    File::options()
        .write(true)
        .open(pod.log(name))
        .unwrap()
        .set_len(0)
        .unwrap();
}

fn several_looks() {
    thread::sleep(Duration::from_millis(400));
}

/// The sink takes nothing, and the sidecar is killed: all that was read is in what was made of the file.
#[test]
fn what_is_on_its_way_is_not_settled_by_a_copy() {
    type Rotate = fn(&Pod);
    let rotations: [Rotate; 4] = [
        |pod| {
            fs::rename(pod.log("app.log"), pod.log("app.log.1")).unwrap();
            pod.gzip("app.log.1", "app.log.1.gz");
            fs::remove_file(pod.log("app.log.1")).unwrap();
        },
        |pod| {
            pod.gzip("app.log", "app.log.1.gz");
            truncate(pod, "app.log");
        },
        |pod| {
            fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
            truncate(pod, "app.log");
        },
        // A few lines before it is truncated; they are lost to the copy.
        |pod| {
            fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
            pod.append("app.log", "late\n");
            several_looks();
            truncate(pod, "app.log");
        },
    ];
    for (index, rotate) in rotations.into_iter().enumerate() {
        let pod = Pod::new();
        pod.store.refuse_all(Some(503));
        pod.append_lines("app.log", 0..100);
        let running = pod.start();
        running.wait_for_log("did not take everything");
        rotate(&pod);
        // Longer than archives rest.
        thread::sleep(Duration::from_millis(2800));
        running.kill();
        pod.store.refuse_all(None);
        let running = pod.start();
        pod.wait_for(100);
        let mut running = running;
        running.terminate();
        running.exit();
        let mut messages = pod.store.messages("app");
        messages.retain(|message| message != "late");
        messages.sort_unstable();
        messages.dedup();
        assert_eq!(messages.len(), 100, "rotation {index}");
        assert!(pod.store.documents("app").len() <= 101, "rotation {index}");
    }
}

/// `cp app.log app.log.1 && : > app.log`, each time to the same name.
#[test]
fn a_copy_that_is_written_over_the_last_one_is_a_copy() {
    let pod = Pod::new();
    let running = pod.start();
    for round in 0..3 {
        pod.append_lines("app.log", round * 100..round * 100 + 100);
        pod.wait_for(round * 100 + 100);
        fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
        several_looks();
        truncate(&pod, "app.log");
        several_looks();
    }
    // While nobody looks, and as long as the last: nothing but the time tells.
    running.signal(rustix::process::Signal::STOP);
    pod.append_lines("app.log", 300..400);
    fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    truncate(&pod, "app.log");
    running.signal(rustix::process::Signal::CONT);
    pod.wait_for(400);
    several_looks();
    pod.stop(running);
    pod.assert_lines(400);
}

#[test]
fn copies_made_and_packed_every_moment_are_copies() {
    let pod = Pod::new();
    let running = pod.start();
    for round in 0..4 {
        pod.append_lines("app.log", round * 100..round * 100 + 100);
        pod.wait_for(round * 100 + 100);
        pod.gzip("app.log", &format!("app.log.{round}.gz"));
        truncate(&pod, "app.log");
    }
    wait::until("all to be judged", || {
        let lines = running.stderr();
        let is_judged =
            |line: &&String| line.contains("a copy of what is read") || line.contains("done with what was compressed");
        (lines.iter().filter(is_judged).count() == 4).then_some(())
    });
    pod.stop(running);
    pod.assert_lines(400);
}

/// Of two files that say the same, both are sent.
#[test]
fn an_archive_of_another_file_is_no_copy() {
    let pod = Pod::new();
    let sub = pod.log("sub");
    fs::create_dir(&sub).unwrap();
    let pattern = sub.join("*.log");
    let running = pod.start_with(&["--include", pattern.to_str().unwrap()]);
    let banner: String = (0..200).map(|n| format!("banner {n}\n")).collect();
    pod.append("app.log", &banner);
    pod.append("app.log", "it goes on\n");
    pod.wait_for(201);
    // Another program of the same kind that has failed at its start.
    pod.append("packing.tmp", &banner);
    pod.gzip("packing.tmp", "sub/app.log.1.gz");
    pod.wait_for(401);
    pod.stop(running);
    assert_eq!(pod.store.documents("app").len(), 401);
}

#[test]
fn empty_rotated_files_are_in_nobodys_way() {
    let pod = Pod::new();
    for n in 0..40 {
        pod.append(&format!("idle.log.{n}"), "");
    }
    pod.append_lines("app.log", 0..10);
    let limit = rustix::process::Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    let running = pod.start();
    let pid = rustix::process::Pid::from_raw(running.id().cast_signed()).unwrap();
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap();
    pod.wait_for(10);
    let text = fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap();
    assert!(text.count() < 30);
    pod.stop(running);
}

#[test]
fn an_archive_with_a_fault_in_its_middle_is_told() {
    let pod = Pod::new();
    pod.append_lines("plain.tmp", 0..20_000);
    pod.gzip("plain.tmp", "packed.tmp");
    let mut bytes = fs::read(pod.log("packed.tmp")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 50].fill(0xff);
    fs::write(pod.log("app.log.1.gz"), bytes).unwrap();
    let mut running = pod.start();
    running.wait_for_log("a compressed file is broken");
    running.wait_for_log("done with what was compressed");
    running.terminate();
    assert_eq!(running.exit().code(), Some(1), "something was lost");
}

/// Before the copy is written, or since there was nothing to rotate.
#[test]
fn an_empty_copy_that_matches_is_waited_for_and_is_nothing_unread() {
    let pod = Pod::new();
    let pattern = pod.log("app.log*");
    let running = pod.start_with(&["--include", pattern.to_str().unwrap()]);
    pod.append_lines("app.log", 0..10);
    pod.wait_for(10);
    pod.append("app.log.2", "");
    several_looks();
    pod.append_lines("app.log.2", 10..20);
    pod.wait_for(20);
    pod.append("app.log.3", "");
    several_looks();
    pod.stop(running);
    pod.assert_lines(20);
}
