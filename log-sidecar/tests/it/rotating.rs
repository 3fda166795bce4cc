//! A file as the sink.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use testbed::wait;

use crate::Pod;
use crate::sinks::start;

/// How often each line is there, in all files, by its id.
fn lines(pod: &Pod) -> BTreeMap<String, (String, usize)> {
    let mut all = BTreeMap::new();
    let entries = fs::read_dir(pod.dir.path().join("archive")).into_iter().flatten();
    for entry in entries {
        for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let Ok(document) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let line = all
                .entry(text(&document["event"]["id"]))
                .or_insert((text(&document["message"]), 0));
            line.1 += 1;
        }
    }
    all
}

#[test]
fn every_line_is_in_one_of_the_files_also_after_kills() {
    let pod = Pod::new();
    let archive = pod.dir.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let to = format!("file://{}?max-size=1MiB&keep=50", archive.join("app.ndjson").display());
    let small = ["--batch-size", "8KiB", "--in-flight", "600KiB"];
    pod.append_lines("app.log", 0..20_000);
    for kill in 1..5 {
        let running = pod.start_to(&to, &small);
        wait::until("lines", || (lines(&pod).len() >= 2000 * kill).then_some(()));
        running.kill();
    }
    let running = pod.start_to(&to, &small);
    wait::until("all lines", || (lines(&pod).len() >= 20_000).then_some(()));
    pod.stop(running);
    let found = lines(&pod);
    let mut messages: Vec<_> = found.values().map(|(message, _)| message.clone()).collect();
    let mut expected: Vec<_> = (0..20_000).map(|n| format!("line {n}")).collect();
    messages.sort_unstable();
    expected.sort_unstable();
    assert_eq!(messages, expected);
    // What was on its way at a kill.
    let most = 1 + 4;
    assert!(found.values().all(|(_, times)| *times <= most));
    for entry in fs::read_dir(archive).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().unwrap().len() <= 1 << 20, "{entry:?}");
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(
            text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "{entry:?}"
        );
    }
}

#[test]
fn a_directory_that_is_not_there_is_waited_for() {
    let pod = Pod::new();
    let path = pod.dir.path().join("archive/app.ndjson");
    pod.append_lines("app.log", 0..10);
    let running = pod.start_to(&format!("file://{}", path.display()), &[]);
    running.wait_for_log("No such file or directory");
    fs::create_dir(path.parent().unwrap()).unwrap();
    wait::until("the lines", || (lines(&pod).len() == 10).then_some(()));
    pod.stop(running);
}

#[test]
fn it_does_not_read_what_it_writes() {
    let pod = Pod::new();
    let link = pod.dir.path().join("link");
    std::os::unix::fs::symlink(pod.log(""), &link).unwrap();
    for path in [
        pod.log("out.log"),
        pod.log("app.log.1"),
        link.join("out.log"),
        pod.log("../logs/out.log"),
    ] {
        let mut running = pod.start_to(&format!("file://{}", path.display()), &[]);
        assert_eq!(running.exit().code(), Some(2), "{path:?}");
        running.wait_for_log("would be read again");
    }
    for other in ["archive", "archive.1"] {
        let to = |name: &str| format!("{{to: \"file://{}\"}}", pod.dir.path().join(name).display());
        let text = format!("sinks:\n  one: {}\n  other: {}\n", to("archive"), to(other));
        let mut running = start(&pod, &text);
        assert_eq!(running.exit().code(), Some(2), "{other}");
        running.wait_for_log("two sinks would write");
    }
}
