//! When a line was written, and the index of its day.

use testbed::wait;

use crate::Pod;

/// With the time of the line, each of another day.
fn lines(days: std::ops::Range<usize>) -> String {
    let line = |day| format!("2026-11-{day:02} 23:59:59,500 INFO day {day}\n\tand more of it\n");
    days.map(line).collect()
}

fn dated(pod: &Pod) -> String {
    format!("elasticsearch+http://{}/app-%Y.%m.%d", pod.store.address())
}

fn days(pod: &Pod, range: std::ops::Range<usize>) -> Vec<usize> {
    range
        .map(|day| pod.store.documents(&format!("app-2026.11.{day:02}")).len())
        .collect()
}

#[test]
fn each_line_goes_to_the_index_of_its_day_however_often_it_is_sent() {
    let pod = Pod::new();
    pod.append("app.log", lines(10..20));
    let running = pod.start_to(&dated(&pod), &[]);
    wait::until("all days", || (days(&pod, 10..20) == [2; 10]).then_some(()));
    running.kill();
    // Again, from the middle of what belongs together: nothing but what is before it tells the day.
    let running = pod.start_to(&dated(&pod), &["--start", "head", "--max-record", "40B"]);
    pod.append("app.log", "\tand the end\n");
    wait::until("the end", || (days(&pod, 19..20) == [3]).then_some(()));
    pod.stop(running);
    let running = pod.start_to(&dated(&pod), &["--time-zone", "+02:00"]);
    pod.append(
        "app.log",
        "\tand a late word\n2026-11-21 01:00:00 INFO of the day before\n",
    );
    wait::until("the late word", || (days(&pod, 19..21) == [4, 1]).then_some(()));
    pod.stop(running);
    assert_eq!(days(&pod, 10..21), [2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 1]);
    let documents = pod.store.documents("app-2026.11.20");
    assert_eq!(documents[0].source["@timestamp"], "2026-11-20T23:00:00.000Z");
}

#[test]
fn a_record_at_fault_keeps_its_time() {
    let pod = Pod::new();
    let mut refuses = true;
    pod.store.judge(move |document| {
        if document.message().contains("day 12") && std::mem::take(&mut refuses) {
            testbed::peer::Verdict::Refuse(400)
        } else {
            testbed::peer::Verdict::Store
        }
    });
    pod.append("app.log", lines(10..15));
    let to = dated(&pod);
    let running = pod.start_to(&to, &[]);
    wait::until("the dead letter", || (pod.dead_letters_so_far() == 1).then_some(()));
    pod.stop(running);
    assert_eq!(days(&pod, 10..15), [2, 2, 1, 2, 2]);
    let mut replay = testbed::process::command(crate::BIN);
    replay.args(["replay", "--to", &to, "--state"]).arg(pod.state(""));
    assert!(replay.status().unwrap().success());
    assert_eq!(days(&pod, 10..15), [2; 5]);
}

#[test]
fn the_time_is_of_the_line_if_that_is_wanted() {
    let pod = Pod::new();
    pod.append(
        "app.log",
        "no time yet\n{\"time\":\"2026-11-26T12:00:00.5+02:00\",\"message\":\"x\"}\n  rest\n",
    );
    let running = pod.start_with(&["--timestamp", "line"]);
    pod.wait_for(3);
    pod.stop(running);
    let documents = pod.store.documents("app");
    let times: Vec<_> = documents
        .iter()
        .map(|d| d.source["@timestamp"].as_str().unwrap())
        .collect();
    assert_eq!(times[1..], ["2026-11-26T10:00:00.500Z"; 2]);
    assert_ne!(times[0], times[1], "when it was read");
}

#[test]
fn a_time_that_would_mislead_is_refused() {
    let check = |more: &[&str]| {
        let mut command = testbed::process::command(crate::BIN);
        command.args(["check", "--include", "/logs/*.log"]).args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let dated = "elasticsearch+http://192.0.2.1:9200/app-%Y.%m";
    assert_eq!(check(&["--to", dated, "--time-zone", "+02:00"]).0, Some(0));
    let (code, told) = check(&["--to", dated, "--timestamp", "read"]);
    assert!(
        code == Some(2) && told.contains("an index by date takes the time of the line"),
        "{told}"
    );
    let (code, told) = check(&["--to", "stdout", "--time-zone", "UTC"]);
    assert!(code == Some(2) && told.contains("give --timestamp line"), "{told}");
    assert_eq!(
        check(&["--to", "stdout", "--timestamp", "line", "--time-zone", "UTC"]).0,
        Some(0)
    );
}
