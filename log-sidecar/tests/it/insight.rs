//! What is seen from outside: how far each file is, whether that is far enough, and whether the sink is there.

use std::time::Duration;
use std::{fs, thread};

use testbed::client;
use testbed::peer::{Store, Verdict};
use testbed::process::{code_and_stderr, command};
use testbed::wait;

use crate::{BIN, Pod};

#[test]
fn how_far_a_file_is_behind_is_told_and_may_decide_on_readiness() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..100);
    let running = pod.start_with(&["--ready-lag", "500ms"]);
    pod.wait_for(100);
    let admin = running.address("admin listening");
    let ready = || client::get(&admin, "/readyz").unwrap();
    wait::until("readiness", || (ready().status == 200).then_some(()));
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 100..110);
    wait::until("no readiness", || (ready().status == 503).then_some(()));
    assert!(ready().text().contains("what was written more than 500ms ago"));
    let metrics = client::get(&admin, "/metrics").unwrap().text();
    let value = |name: &str| -> f64 {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let path = pod.log("app.log").display().to_string();
    assert_eq!(value(&format!("log_file_lag_bytes{{path=\"{path}\"}}")), 90.0);
    assert!(value(&format!("log_file_lag_seconds{{path=\"{path}\"}}")) >= 0.5);
    assert!(value("log_lag_seconds") >= 0.5);
    pod.store.refuse_all(None);
    wait::until("readiness again", || (ready().status == 200).then_some(()));
    let metrics = client::get(&admin, "/metrics").unwrap().text();
    assert!(
        !metrics.contains("log_file_lag_bytes{") && metrics.contains("log_lag_seconds 0.0\n"),
        "{metrics}"
    );
    pod.stop(running);
}

/// While lines come all the time, something is always on its way.
#[test]
fn what_is_delivered_in_time_is_not_behind() {
    let pod = Pod::new();
    let running = pod.start();
    let admin = running.address("admin listening");
    for round in 0..100 {
        pod.append_lines("app.log", round * 10..round * 10 + 10);
        thread::sleep(Duration::from_millis(20));
    }
    let metrics = client::get(&admin, "/metrics").unwrap().text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("log_lag_seconds"))
        .unwrap();
    let lag: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(lag < 1.0, "{line}");
    pod.wait_for(1000);
    pod.stop(running);
}

#[test]
fn the_status_of_each_file_is_in_the_state_directory() {
    let pod = Pod::new();
    pod.store.judge(|document| match document.message() {
        "line 3" => Verdict::Refuse(400),
        _ => Verdict::Store,
    });
    pod.append_lines("a.log", 0..10);
    pod.append_lines("b.log", 10..20);
    let running = pod.start();
    pod.wait_for(19);
    pod.stop(running);
    pod.append("a.log", "123456789\n");
    fs::rename(pod.log("b.log"), pod.log("b.log.1")).unwrap();
    let status = || {
        let output = command(BIN)
            .args(["status", "--state"])
            .arg(pod.state(""))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let words = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines();
        lines
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .map(str::to_owned)
                    .collect()
            })
            .collect()
    };
    let told = status();
    let rows = words(&told);
    assert_eq!(rows[0], ["SINK", "BEHIND", "DELIVERED", "SIZE", "WRITTEN", "FILE"]);
    assert_eq!(rows[1][..4], ["-", "10 B", "70 B", "80 B"], "{told}");
    assert!(rows[1].last().unwrap().ends_with("/a.log"), "{told}");
    assert_eq!(rows[2][..4], ["-", "0 B", "80 B", "80 B"], "{told}");
    assert!(told.contains("-: 1 rejected records ("), "{told}");
    fs::write(pod.log("a.log"), "anew\n").unwrap();
    assert_eq!(words(&status())[1][..4], ["-", "5 B", "70 B", "5 B"]);
    fs::remove_file(pod.log("b.log.1")).unwrap();
    assert_eq!(words(&status())[2][..4], ["-", "?", "80 B", "gone"]);

    let mut without = command(BIN);
    let (code, said) = code_and_stderr(&without.args(["status", "--state"]).arg(pod.log("")).output().unwrap());
    assert!(
        code == Some(1) && said.contains("there is no checkpoint.json"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_read_hides_nothing_of_the_others() {
    let pod = Pod::new();
    pod.append_lines("a\u{1b}[2J.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    for name in ["broken", "rejected"] {
        fs::create_dir_all(pod.state("sinks").join(name)).unwrap();
    }
    let broken = pod.state("sinks/broken/checkpoint.json");
    fs::write(&broken, "{").unwrap();
    fs::write(pod.state("sinks/rejected/dead-letter.ndjson"), "{}\n{}\n").unwrap();
    let mut command = command(BIN);
    let output = command.args(["status", "--state"]).arg(pod.state("")).output().unwrap();
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(table.contains("/a\\u{1b}[2J.log\n"), "{table}");
    assert!(table.contains("rejected: 2 rejected records ("), "{table}");
    let (code, said) = code_and_stderr(&output);
    assert!(
        code == Some(1) && said.contains(&format!("{} is broken", broken.display())),
        "{said}"
    );
}

#[test]
fn a_check_may_ask_the_sinks_too() {
    let check = |to: &str, more: &[&str]| {
        let mut command = command(BIN);
        command
            .args(["check", "--include", "/logs/*.log", "--to", to])
            .args(more);
        code_and_stderr(&command.output().unwrap())
    };
    let store = Store::start("127.0.0.1:0").unwrap();
    let to = format!("elasticsearch+http://{}/app", store.address());
    let (code, said) = check(&to, &["--online"]);
    assert!(code == Some(0) && said.contains("the sink is there"), "{said}");
    assert!(store.documents("app").is_empty());
    store.require("ApiKey wanted");
    let (code, said) = check(&to, &["--online"]);
    assert!(code == Some(1) && said.contains("it does not know us"), "{said}");
    let nobody = "elasticsearch+http://127.0.0.1:1/app";
    let (code, said) = check(nobody, &["--online"]);
    assert!(code == Some(1) && said.contains("the sink is not there"), "{said}");
    assert_eq!(check(nobody, &[]).0, Some(0));
    assert_eq!(check(nobody, &["--online", "--poll", "1ms"]).0, Some(2));
}
