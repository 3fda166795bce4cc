//! Lines that are one record, as they come.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use testbed::wait;

use crate::Pod;

fn messages(pod: &Pod) -> Vec<String> {
    pod.store.messages("app")
}

const TRACE: [&str; 4] = [
    "ERROR failed\n",
    "java.lang.IllegalStateException: boom\n",
    "\tat org.example.Main.run(Main.java:1)\n",
    "\tat org.example.Main.main(Main.java:2)\n",
];

#[test]
fn a_trace_that_comes_line_by_line_is_one_record() {
    let pod = Pod::new();
    let running = pod.start_with(&["--multiline", "java", "--multiline-wait", "400ms"]);
    pod.append("app.log", "INFO one\n");
    for line in TRACE {
        thread::sleep(Duration::from_millis(100));
        pod.append("app.log", line);
    }
    // Half of a line has not come to its end.
    pod.append("app.log", "INFO tw");
    wait::until("two records", || (messages(&pod).len() == 2).then_some(()));
    pod.append("app.log", "o\n");
    wait::until("three records", || (messages(&pod).len() == 3).then_some(()));
    pod.stop(running);
    let trace = TRACE.concat();
    assert_eq!(messages(&pod), ["INFO one", trace.trim_end(), "INFO two"]);
}

#[test]
fn a_writer_that_runs_against_the_reader_tears_nothing() {
    let pod = Pod::new();
    let running = pod.start_with(&["--multiline", "java", "--multiline-wait", "10s"]);
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(pod.log("app.log"))
        .unwrap();
    for n in 0..20 {
        file.write_all(format!("ERROR {n}\njava.lang.Error: boom\n").as_bytes())
            .unwrap();
        for line in 0..500 {
            file.write_all(format!("\tat org.example.Main.run(Main.java:{line})\n").as_bytes())
                .unwrap();
        }
    }
    wait::until("all but the last", || (messages(&pod).len() >= 19).then_some(()));
    pod.stop(running);
    let lines: Vec<_> = messages(&pod).iter().map(|message| message.lines().count()).collect();
    assert_eq!(lines, [502; 20]);
}

#[test]
fn what_belongs_together_stays_so_however_it_is_cut() {
    let pod = Pod::new();
    let record = |n: usize| {
        format!(
            "2026-11-26T10:00:00.{n:03}Z INFO {n}\n{}",
            "  more of it, and more\n".repeat(n % 50)
        )
    };
    let text: String = (0..1000).map(record).collect();
    let expected: Vec<_> = (0..1000).map(|n| record(n).trim_end().to_owned()).collect();
    pod.append("app.log", &text[..300_000]);
    let running = pod.start_with(&["--multiline", "time", "--multiline-wait", "30s"]);
    wait::until("what is whole", || (messages(&pod).len() > 500).then_some(()));
    running.kill();
    let running = pod.start_with(&["--multiline", "time", "--multiline-wait", "30s"]);
    pod.append("app.log", &text[300_000..]);
    fs::rename(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    wait::until("all but the last", || (messages(&pod).len() == 999).then_some(()));
    // The end is no reason to wait.
    pod.stop(running);
    let mut found = messages(&pod);
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_record_that_is_too_long_is_split_between_lines() {
    let pod = Pod::new();
    let lines: Vec<_> = (0..100).map(|n| format!("\tat line {n:03}\n")).collect();
    pod.append("app.log", format!("java.lang.Error: deep\n{}", lines.concat()));
    let running = pod.start_with(&[
        "--multiline",
        "java",
        "--max-record",
        "500B",
        "--multiline-wait",
        "100ms",
    ]);
    wait::until("all lines", || {
        let lines: usize = messages(&pod).iter().map(|message| message.lines().count()).sum();
        (lines == 101).then_some(())
    });
    pod.stop(running);
    let documents = pod.store.documents("app");
    assert!(documents.iter().all(|document| document.message().len() <= 500));
    let flags: Vec<_> = documents
        .iter()
        .map(|d| d.source["log"]["flags"][0] == "split")
        .collect();
    assert_eq!(flags, [true, true, false]);
}

#[test]
fn rules_are_checked() {
    let check = |more: &[&str]| {
        let mut command = testbed::process::command(crate::BIN);
        command
            .args(["check", "--include", "/logs/*.log", "--to", "stdout"])
            .args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(
        check(&["--multiline", "java", "--multiline", "/^#/", "--multiline-wait", "2s"]).0,
        Some(0)
    );
    for (bad, told) in [("/(/", "found open group"), ("perl", "java, python, go")] {
        let (code, said) = check(&["--multiline", bad]);
        assert!(code == Some(2) && said.contains(told), "{said}");
    }
    let (code, said) = check(&["--multiline-wait", "2s"]);
    assert!(code == Some(2) && said.contains("give --multiline"), "{said}");
}

#[test]
fn what_a_container_runtime_has_cut_arrives_whole_and_at_once() {
    let pod = Pod::new();
    let line = |tag: &str, text: &str| format!("2026-11-26T10:00:00.123456789Z stdout {tag} {text}\n");
    let running = pod.start_with(&["--parse", "cri", "--parse", "json", "--multiline-wait", "30s"]);
    let (first, second) = (line("P", "{\"msg\":\"line"), line("P", " 0\",\"n\":"));
    pod.append("app.log", &(line("F", "line 1") + &first + &second));
    // What is whole does not wait for others.
    pod.wait_for(1);
    pod.append("app.log", line("F", "1}"));
    pod.wait_for(2);
    pod.stop(running);
    pod.assert_lines(2);
    let documents = pod.store.documents("app");
    let of = |text: &str| documents.iter().find(|document| document.message() == text).unwrap();
    assert_eq!(
        (&of("line 0").source["n"], &of("line 0").source["stream"]),
        (&1.into(), &"stdout".into())
    );
    assert_eq!(of("line 1").source["@timestamp"], "2026-11-26T10:00:00.123Z");
    assert_eq!(of("line 0").source["log"]["offset"], line("F", "line 1").len());
}
