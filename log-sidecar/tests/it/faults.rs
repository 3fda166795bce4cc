use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use testbed::peer::{Store, Verdict};
use testbed::process::{Running, run, unprivileged};
use testbed::wait;

use crate::{BIN, Pod};

#[test]
fn killed_again_and_again_it_loses_nothing_and_doubles_nothing() {
    let pod = Pod::new();
    for round in 0..10 {
        let running = pod.start();
        pod.append_lines("app.log", round * 500..round * 500 + 500);
        let before = pod.store.documents("app").len();
        wait::until("some progress", || {
            (pod.store.documents("app").len() > before).then_some(())
        });
        running.kill();
    }
    let running = pod.start();
    pod.wait_for(5000);
    pod.stop(running);
    pod.assert_lines(5000);
}

#[test]
fn a_lost_answer_doubles_nothing() {
    let pod = Pod::new();
    let mut first = true;
    pod.store.judge(move |_| {
        if std::mem::replace(&mut first, false) {
            Verdict::StoreAndHangUp
        } else {
            Verdict::Store
        }
    });
    pod.append_lines("app.log", 0..100);
    let running = pod.start();
    wait::until("the search", || (pod.store.searches() == 1).then_some(()));
    pod.stop(running);
    pod.assert_lines(100);
}

#[test]
fn only_refused_items_are_sent_again() {
    let pod = Pod::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    pod.store.judge(move |document| {
        let tries = seen.entry(document.id.clone()).or_default();
        *tries += 1;
        let odd = document.message().ends_with(['1', '3', '5', '7', '9']);
        if odd && *tries < 3 {
            Verdict::Refuse(429)
        } else {
            Verdict::Store
        }
    });
    pod.append_lines("app.log", 0..1000);
    let running = pod.start();
    pod.wait_for(1000);
    pod.stop(running);
    pod.assert_lines(1000);
    assert_eq!(pod.store.conflicts(), 0, "what was stored is not sent again");
}

#[test]
fn a_request_too_large_is_halved_down_to_the_one_record_at_fault() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..64);
    pod.store.refuse_all(Some(413));
    let running = pod.start();
    running.wait_for_log("sending in halves");
    pod.store.refuse_all(None);
    wait::until("all to be settled", || {
        let kept = fs::read_to_string(pod.state("dead-letter.ndjson")).map_or(0, |text| text.lines().count());
        (kept + pod.store.documents("app").len() == 64).then_some(())
    });
    pod.stop(running);
}

#[test]
fn a_sink_that_is_down_is_waited_for() {
    let pod = Pod::new();
    let address = pod.store.address();
    let running = pod.start();
    pod.append_lines("app.log", 0..10);
    pod.wait_for(10);
    let Pod { dir, store } = pod;
    drop(store);
    let logs = dir.path().join("logs/app.log");
    let more: String = (0..10).map(|n| format!("line {n}\n")).collect();
    fs::write(dir.path().join("logs/new.log"), more).unwrap();
    running.wait_for_log("did not take everything");
    let pod = Pod {
        dir,
        store: Store::start(&address).unwrap(),
    };
    pod.wait_for(10);
    assert!(logs.exists());
    pod.stop(running);
    pod.assert_lines(10);
}

#[test]
fn reading_stops_when_nothing_is_acknowledged() {
    let pod = Pod::new();
    pod.store.refuse_all(Some(503));
    let line = "x".repeat(999) + "\n";
    pod.append("app.log", line.repeat(40_000));
    let running = pod.start_with(&["--in-flight", "2MiB"]);
    running.wait_for_log("did not take everything");
    let admin = running.address("admin listening");
    let read = || -> u64 {
        let text = testbed::client::get(&admin, "/metrics").unwrap().text();
        let line = text.lines().find(|l| l.starts_with("log_read_bytes_total ")).unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert!((1..=2 << 20).contains(&read()), "{}", read());
    pod.store.refuse_all(None);
    pod.wait_for(40_000);
    assert!(running.rss() < 24 << 20, "{} bytes resident", running.rss());
    pod.stop(running);
}

/// The sidecar as a user who may read only what everybody may, without a state directory.
pub(crate) fn start_unprivileged(pod: &Pod, pattern: &str) -> Running {
    start_unprivileged_with(pod, pattern, &[])
}

pub(crate) fn start_unprivileged_with(pod: &Pod, pattern: &str, more: &[&str]) -> Running {
    let include = pod.log(pattern);
    let to = format!("elasticsearch+http://{}/app", pod.store.address());
    let mut command = unprivileged(BIN, pod.dir.path());
    command.args(["--include", include.to_str().unwrap(), "--to", &to, "--admin", "off"]);
    command.args(["--poll", "50ms", "--drain-quiet", "10ms", "--hold-deleted", "10s"]);
    Running::spawn(command.args(more))
}

#[test]
fn what_would_have_another_id_after_a_crash_waits_for_the_checkpoint() {
    let pod = Pod::new();
    let state = pod.state("");
    let may_write = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(&state).unwrap();
    may_write(0o777);
    let start = || start_unprivileged_with(&pod, "*.log", &["--state", state.to_str().unwrap()]);
    pod.append_lines("app.log", 0..10);
    let running = start();
    pod.wait_for(10);
    wait::until("the checkpoint", || {
        let text = fs::read_to_string(pod.state("checkpoint.json")).unwrap_or_default();
        text.contains("\"offset\":70").then_some(())
    });
    may_write(0o555);
    let truncate = |times: usize| {
        fs::write(pod.log("app.log"), "").unwrap();
        wait::until("the truncation to be seen", || {
            let lines = running.stderr();
            (lines.iter().filter(|line| line.contains("truncated")).count() == times).then_some(())
        });
    };
    // The next run, too, would take it for the next generation.
    truncate(1);
    pod.append_lines("app.log", 10..20);
    pod.wait_for(20);
    // But not for the one after that.
    truncate(2);
    pod.append_lines("app.log", 20..30);
    // Others are read meanwhile.
    pod.append_lines("other.log", 40..50);
    pod.wait_for(30);
    let messages = pod.store.messages("app");
    assert!(
        (20..30).all(|n| !messages.contains(&format!("line {n}"))),
        "{messages:?}"
    );
    let complaints = running
        .stderr()
        .iter()
        .filter(|line| line.contains("cannot write the checkpoint"))
        .count();
    assert_eq!(complaints, 1, "told once");
    may_write(0o777);
    running.wait_for_log("the checkpoint is written again");
    pod.wait_for(40);
    running.kill();
    let running = start();
    pod.append_lines("app.log", 30..40);
    pod.wait_for(50);
    pod.stop(running);
    pod.assert_lines(50);
}

#[test]
fn a_file_it_may_not_read_is_named_with_who_and_what_to_change_and_read_when_allowed() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..3);
    fs::set_permissions(pod.log("app.log"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut running = start_unprivileged(&pod, "*.log");
    let told = running.wait_for_log("cannot read a file that matches");
    for word in ["app.log", "this process is uid", "mode 0000", "runAsGroup"] {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    fs::set_permissions(pod.log("app.log"), fs::Permissions::from_mode(0o644)).unwrap();
    pod.wait_for(3);
    running.terminate();
    assert!(running.exit().success());
    let complaints = running
        .stderr()
        .iter()
        .filter(|line| line.contains("cannot read a file"))
        .count();
    assert_eq!(complaints, 1, "told once");
}

#[test]
fn a_rotated_file_that_may_not_be_read_yet_stays_a_candidate() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..1);
    let running = start_unprivileged(&pod, "*.log");
    pod.wait_for(1);
    // Under its last name at once, and closed: no look ever saw it as `other.log`.
    let hidden = pod.dir.path().join("hidden");
    fs::write(&hidden, "line 1\n").unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    fs::rename(&hidden, pod.log("other.log.1")).unwrap();
    running.wait_for_log("cannot read a file that matches");
    // Each new file takes a look at the directory.
    for n in 2..32 {
        pod.append_lines(&format!("new{n}.log"), n..n + 1);
        pod.wait_for(n);
    }
    fs::set_permissions(pod.log("other.log.1"), fs::Permissions::from_mode(0o644)).unwrap();
    pod.wait_for(32);
    pod.stop(running);
    pod.assert_lines(32);
}

#[test]
fn a_broken_checkpoint_is_not_taken_for_none() {
    let pod = Pod::new();
    fs::create_dir(pod.state("")).unwrap();
    fs::write(pod.state("checkpoint.json"), "{\"version\":1,").unwrap();
    let mut running = pod.start();
    assert_eq!(running.exit().code(), Some(1));
    let told = running.stderr().join("\n");
    assert!(
        told.contains("cannot use the state directory") && told.contains("remove checkpoint.json"),
        "{told}"
    );
}

#[test]
fn a_taken_admin_port_fails_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(
        BIN,
        &["--include", "/nonexistent/*", "--to", "stdout", "--admin", &address],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--admin"));
}

#[test]
fn more_files_than_may_be_open_are_all_read() {
    let pod = Pod::new();
    let write =
        |round: usize| (0..80).for_each(|n| pod.append(&format!("{n:03}.log"), format!("line {}\n", round * 80 + n)));
    write(0);
    let include = pod.log("*.log");
    let to = format!("elasticsearch+http://{}/app", pod.store.address());
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 64; exec \"$0\" \"$@\"",
        BIN,
        "--include",
        include.to_str().unwrap(),
        "--to",
        &to,
    ]);
    command
        .arg("--state")
        .arg(pod.state(""))
        .args(["--admin", "off", "--poll", "20ms", "--drain-quiet", "100ms"]);
    let start = Instant::now();
    let running = Running::spawn(&mut command);
    pod.wait_for(80);
    write(1);
    pod.wait_for(160);
    // They wait for others to be read, and not for a look that comes once in a while.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    pod.stop(running);
    pod.assert_lines(160);
}

#[test]
fn lone_records_that_are_too_large_hold_up_nobody() {
    let pod = Pod::new();
    pod.store.refuse_all(Some(413));
    let running = pod.start();
    for n in 0..4 {
        pod.append("app.log", "BIG\n");
        wait::until("it to be rejected", || {
            let kept = fs::read_to_string(pod.state("dead-letter.ndjson")).map_or(0, |text| text.lines().count());
            (kept > n).then_some(())
        });
    }
    pod.store.refuse_all(None);
    pod.append_lines("app.log", 0..5);
    pod.wait_for(5);
    pod.stop(running);
    pod.assert_lines(5);
}

#[test]
fn a_directory_that_may_not_be_read_hides_only_what_is_in_it() {
    let pod = Pod::new();
    fs::create_dir_all(pod.log("closed")).unwrap();
    fs::set_permissions(pod.log("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    pod.append_lines("app.log", 0..3);
    let mut running = start_unprivileged(&pod, "**/*.log");
    running.wait_for_log("or its directory");
    pod.wait_for(3);
    fs::remove_file(pod.log("app.log")).unwrap();
    running.wait_for_log("done with a rotated file");
    running.terminate();
    assert!(running.exit().success());
    fs::set_permissions(pod.log("closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_process_that_never_lives_long_gets_on() {
    let pod = Pod::new();
    let mut lives_that_saved = 0;
    for life in 0..10 {
        pod.append_lines("app.log", life * 1000..life * 1000 + 1000);
        let running = pod.start();
        pod.wait_for(life * 1000 + 1000);
        thread::sleep(Duration::from_millis(200));
        running.kill();
        let checkpoint = fs::read(pod.state("checkpoint.json")).unwrap();
        let checkpoint: serde_json::Value = serde_json::from_slice(&checkpoint).unwrap();
        let size = fs::metadata(pod.log("app.log")).unwrap().len();
        lives_that_saved += usize::from(checkpoint["files"][0]["offset"] == size);
    }
    // On a busy machine, some may have been too short.
    assert!(lives_that_saved >= 5, "{lives_that_saved}");
    pod.assert_lines(10_000);
}
