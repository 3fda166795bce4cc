//! New settings while it runs: what they say counts from then on, and no line is lost or doubled in between.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use testbed::http::{Reply, Server};
use testbed::peer::Store;
use testbed::process::{Running, command};
use testbed::{client, wait};

use crate::sinks::{assert_lines, file, has, start, to};
use crate::{BIN, Pod};

const TAKEN: &str = "the settings are read again";

fn single(pod: &Pod, more: &str) -> String {
    format!("to: elasticsearch+http://{}/app\n{more}", pod.store.address())
}

/// Writes new settings, and tells of them.
fn reload(pod: &Pod, running: &Running, text: &str) {
    file(pod, text);
    running.signal(Signal::HUP);
}

/// So often.
#[track_caller]
fn wait_until_taken(running: &Running, times: usize) {
    wait::until("the settings", || {
        let lines = running.stderr().into_iter();
        (lines.filter(|line| line.contains(TAKEN)).count() == times).then_some(())
    });
}

fn is_successful(running: &Running) -> bool {
    let admin = running.address("admin listening");
    let metrics = client::get(&admin, "/metrics").unwrap().text();
    metrics.contains("log_config_last_reload_successful 1\n")
}

#[test]
fn new_settings_count_from_then_on() {
    let pod = Pod::new();
    let running = start(&pod, &single(&pod, ""));
    pod.append_lines("app.log", 0..1);
    pod.wait_for(1);
    for round in 0..10 {
        let first = 1 + round * 100;
        pod.append_lines("app.log", first..first + 50);
        reload(&pod, &running, &single(&pod, &format!("field:\n  round: '{round}'\n")));
        pod.append_lines("app.log", first + 50..first + 100);
        pod.wait_for(first + 100);
        wait_until_taken(&running, round + 1);
    }
    pod.append_lines("app.log", 1001..1002);
    pod.wait_for(1002);
    pod.stop(running);
    pod.assert_lines(1002);
    assert_eq!(pod.store.conflicts(), 0);
    let documents = pod.store.documents("app");
    let of = |text: &str| documents.iter().find(|document| document.message() == text).unwrap();
    assert_eq!(of("line 1001").source["round"], "9");
    assert!(of("line 0").source["round"].is_null());
}

#[test]
fn what_is_wrong_is_told_and_the_old_settings_stay() {
    let pod = Pod::new();
    let running = start(&pod, &single(&pod, ""));
    pod.append_lines("app.log", 0..10);
    pod.wait_for(10);
    assert!(is_successful(&running));
    reload(&pod, &running, &single(&pod, "pol: 1s\n"));
    running.wait_for_log("the new settings are not taken, and the old ones stay");
    assert!(!is_successful(&running));
    pod.append_lines("app.log", 10..20);
    pod.wait_for(20);
    // Right, and of no use: the state directory is a file.
    let path = pod.dir.path().join("config.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(pod.dir.path().join("a-file"), "").unwrap();
    let text = text.replace("pol: 1s\n", "").replace(
        &pod.state("").display().to_string(),
        &pod.dir.path().join("a-file").display().to_string(),
    );
    fs::write(&path, text).unwrap();
    running.signal(Signal::HUP);
    running.wait_for_log("the new settings cannot be used, and the old ones stay");
    assert!(!is_successful(&running));
    pod.append_lines("app.log", 20..30);
    pod.wait_for(30);
    reload(&pod, &running, &single(&pod, "drop: /none/\n"));
    wait::until("the settings", || is_successful(&running).then_some(()));
    pod.append_lines("app.log", 30..40);
    pod.wait_for(40);
    pod.stop(running);
    pod.assert_lines(40);
    assert_eq!(pod.store.conflicts(), 0);
}

/// As the kubelet does it: the link to the directory of the version changes.
#[test]
fn a_mounted_file_that_changes_is_read_again_by_itself() {
    let pod = Pod::new();
    let version = |name: &str, text: &str| {
        file(&pod, text);
        let dir = pod.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::rename(pod.dir.path().join("config.yaml"), dir.join("config.yaml")).unwrap();
        symlink(name, pod.dir.path().join("..data.new")).unwrap();
        fs::rename(pod.dir.path().join("..data.new"), pod.dir.path().join("..data")).unwrap();
    };
    version("first", &single(&pod, ""));
    symlink("..data/config.yaml", pod.dir.path().join("mounted.yaml")).unwrap();
    let running = Running::spawn(
        command(BIN)
            .arg("--config")
            .arg(pod.dir.path().join("mounted.yaml"))
            .env("HOSTNAME", "pod-1"),
    );
    pod.append_lines("app.log", 0..10);
    pod.wait_for(10);
    version("second", &single(&pod, "field: {team: shop}\n"));
    running.wait_for_log(TAKEN);
    pod.append_lines("app.log", 10..20);
    pod.wait_for(20);
    pod.stop(running);
    pod.assert_lines(20);
    let documents = pod.store.documents("app");
    let last = documents
        .iter()
        .find(|document| document.message() == "line 19")
        .unwrap();
    assert_eq!(last.source["team"], "shop");
}

/// Positions are nowhere but in the process.
#[test]
fn without_a_state_directory_nothing_is_sent_again() {
    let pod = Pod::new();
    let without_state = |text: &str| {
        let path = file(&pod, text);
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("state:"));
        fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        path
    };
    let path = without_state(&single(&pod, ""));
    let running = Running::spawn(command(BIN).args(["--config", &path]).env("HOSTNAME", "pod-1"));
    pod.append_lines("app.log", 0..100);
    pod.wait_for(100);
    without_state(&single(&pod, "drop: /none/\n"));
    running.signal(Signal::HUP);
    running.wait_for_log(TAKEN);
    pod.append_lines("app.log", 100..200);
    pod.wait_for(200);
    pod.stop(running);
    pod.assert_lines(200);
    assert_eq!(pod.store.conflicts(), 0);
}

#[test]
fn what_a_dead_sink_has_not_taken_goes_to_the_next() {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 0..1000);
    let running = start(&pod, &single(&pod, ""));
    running.wait_for_log("did not take everything");
    reload(
        &pod,
        &running,
        &format!("to: elasticsearch+http://{}/app\n", other.address()),
    );
    has(&other, 1000);
    pod.append_lines("app.log", 1000..1100);
    has(&other, 1100);
    // The account of what was given back is right, too.
    pod.stop(running);
    assert_lines(&other, 0..1100);
    assert!(pod.store.documents("app").is_empty());
}

#[test]
fn a_second_sink_starts_where_the_one_has_ended() {
    let (pod, other) = (Pod::new(), Store::start("127.0.0.1:0").unwrap());
    let running = start(&pod, &single(&pod, ""));
    pod.append_lines("app.log", 0..100);
    pod.wait_for(100);
    let both = format!("sinks:\n{}{}", to("a", &pod.store, ""), to("b", &other, ""));
    reload(&pod, &running, &both);
    running.wait_for_log("the sinks start where the one without a name ended");
    pod.append_lines("app.log", 100..200);
    pod.wait_for(200);
    has(&other, 100);
    // Not back: what the two have is not one.
    reload(&pod, &running, &single(&pod, ""));
    running.wait_for_log("give the sink its name");
    pod.append_lines("app.log", 200..300);
    pod.wait_for(300);
    has(&other, 200);
    pod.stop(running);
    pod.assert_lines(300);
    assert_lines(&other, 100..300);
}

/// Whoever goes on has the file, though it has no name.
#[test]
fn a_deleted_file_is_held_on() {
    let pod = Pod::new();
    let running = start(&pod, &single(&pod, ""));
    pod.append_lines("app.log", 0..100);
    pod.wait_for(100);
    let mut writer = OpenOptions::new().append(true).open(pod.log("app.log")).unwrap();
    fs::remove_file(pod.log("app.log")).unwrap();
    for round in 1..4 {
        reload(&pod, &running, &single(&pod, &format!("field: {{round: '{round}'}}\n")));
        wait_until_taken(&running, round);
        for number in round * 100..round * 100 + 100 {
            writeln!(writer, "line {number}").unwrap();
        }
        pod.wait_for(round * 100 + 100);
    }
    pod.stop(running);
    pod.assert_lines(400);
    assert_eq!(pod.store.conflicts(), 0);
}

/// Where to start is said for the start; positions in hand count, wherever they are kept from now on.
#[test]
fn it_goes_on_from_where_it_is() {
    let pod = Pod::new();
    let running = start(&pod, &single(&pod, "start: head\n"));
    pod.append_lines("app.log", 0..100);
    pod.wait_for(100);
    reload(&pod, &running, &single(&pod, "start: head\ndrop: /none/\n"));
    running.wait_for_log(TAKEN);
    pod.append_lines("app.log", 100..200);
    pod.wait_for(200);
    // Another state directory, which is empty.
    let path = file(&pod, &single(&pod, "start: tail\n"));
    let other = pod.dir.path().join("other");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(&pod.state("").display().to_string(), &other.display().to_string());
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 200..300);
    running.wait_for_log("did not take everything");
    fs::write(&path, text).unwrap();
    running.signal(Signal::HUP);
    wait::until("the other directory", || {
        other.join("checkpoint.json").exists().then_some(())
    });
    pod.store.refuse_all(None);
    pod.wait_for(300);
    pod.stop(running);
    pod.assert_lines(300);
    assert_eq!(pod.store.conflicts(), 0);
}

/// As one that is being written in place.
#[test]
fn an_empty_file_changes_nothing() {
    let pod = Pod::new();
    let running = start(&pod, &single(&pod, "redact: /secret/\n"));
    pod.append("app.log", "a secret 1\n");
    pod.wait_for(1);
    reload(&pod, &running, &single(&pod, ""));
    running.wait_for_log(TAKEN);
    fs::write(pod.dir.path().join("config.yaml"), "").unwrap();
    running.signal(Signal::HUP);
    running.wait_for_log("empty or away, and the old settings stay");
    pod.append_lines("app.log", 0..10);
    pod.wait_for(11);
    pod.stop(running);
}

/// While what is out is waited for, too.
#[test]
fn what_is_lost_meanwhile_hangs_nothing() {
    let pod = Pod::new();
    let running = start(&pod, &single(&pod, ""));
    pod.append_lines("app.log", 0..100);
    pod.wait_for(100);
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 100..200);
    running.wait_for_log("did not take everything");
    // Many truncations in a row: more than are remembered.
    reload(&pod, &running, &single(&pod, "drop: /none/\n"));
    for _ in 0..40 {
        pod.append("app.log", "x\n");
        fs::write(pod.log("app.log"), "").unwrap();
    }
    running.wait_for_log(TAKEN);
    pod.store.refuse_all(None);
    pod.append_lines("other.log", 200..300);
    wait::until("the last line", || {
        pod.store.messages("app").contains(&"line 299".to_owned()).then_some(())
    });
    running.terminate();
    let mut running = running;
    assert!(running.exit().code().is_some_and(|code| code < 2));
}

/// A pod does not lose its traffic since its settings change while a sink is away.
#[test]
fn a_sink_that_was_there_is_not_waited_for_again() {
    let pod = Pod::new();
    let server = Server::start("127.0.0.1:0", |_| Reply::text(200, "")).unwrap();
    let address = server.address();
    let running = start(&pod, &format!("to: ndjson+http://{address}/in\n"));
    running.wait_for_log("the sink is there");
    let admin = running.address("admin listening");
    let is_ready = || client::get(&admin, "/readyz").unwrap().status == 200;
    wait::until("readiness", || is_ready().then_some(()));
    drop(server);
    reload(
        &pod,
        &running,
        &format!("to: ndjson+http://{address}/in\nfield: {{a: b}}\n"),
    );
    wait_until_taken(&running, 1);
    wait::until("readiness", || is_ready().then_some(()));
    // Whether another one is right shows only when it answers.
    reload(&pod, &running, "to: ndjson+http://127.0.0.1:9/in\n");
    wait_until_taken(&running, 2);
    running.wait_for_log("the sink is not there yet");
    assert!(!is_ready());
}
