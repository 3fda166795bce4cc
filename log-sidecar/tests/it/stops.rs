use std::fs;
use std::io::Write as _;
use std::time::Duration;

use testbed::contract::killed_while_stopping;
use testbed::process::Running;
use testbed::wait;

use crate::Pod;
use crate::sinks::start;

#[test]
fn idle_it_stops_at_once() {
    let pod = Pod::new();
    let running = pod.start();
    running.wait_for_log("the sink is there");
    pod.stop(running);
}

#[test]
fn busy_it_reads_to_the_end_first() {
    let pod = Pod::new();
    let running = pod.start();
    running.wait_for_log("the sink is there");
    pod.append_lines("app.log", 0..20_000);
    pod.stop(running);
    pod.assert_lines(20_000);
}

#[test]
fn the_start_of_a_line_is_not_left_behind_and_not_sent_again() {
    let pod = Pod::new();
    pod.append("app.log", "line 0\npanicked at");
    let running = pod.start();
    pod.wait_for(1);
    pod.stop(running);
    let last = pod.store.documents("app").pop().unwrap();
    assert_eq!(
        (last.message(), last.source["log"]["flags"][0].as_str()),
        ("panicked at", Some("partial"))
    );
    pod.append("app.log", " main.rs\n");
    let running = pod.start();
    pod.wait_for(3);
    pod.stop(running);
    assert_eq!(pod.store.messages("app"), ["line 0", "panicked at", " main.rs"]);
}

#[test]
fn past_the_deadline_it_says_what_is_left_and_the_next_run_delivers_it() {
    let pod = Pod::new();
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 0..10);
    let mut running = pod.start_with(&["--grace", "300ms"]);
    running.wait_for_log("did not take everything");
    running.terminate();
    assert_eq!(running.exit().code(), Some(1));
    let told = running.stderr().join("\n");
    assert!(
        told.contains("not drained within 300ms: read 10, acked 0, rejected 0, in flight 10"),
        "{told}"
    );
    pod.store.refuse_all(None);
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    pod.assert_lines(10);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let pod = Pod::new();
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 0..10);
    let mut running = pod.start();
    running.wait_for_log("did not take everything");
    running.terminate();
    running.wait_for_log("stopping");
    running.terminate();
    assert_eq!(running.exit().code(), Some(1));
    assert!(running.stderr().iter().any(|line| line.contains("second SIGTERM")));
}

#[test]
fn lines_written_while_it_stops_are_shipped() {
    let pod = Pod::new();
    let mut running = pod.start_with(&["--drain-quiet", "1s"]);
    running.wait_for_log("the sink is there");
    running.terminate();
    running.wait_for_log("stopping");
    pod.append_lines("app.log", 0..10);
    wait::until("the end", || running.has_ended().then_some(()));
    pod.assert_lines(10);
}

#[test]
fn writers_that_never_rest_do_not_use_up_the_grace() {
    let pod = Pod::new();
    let mut running = pod.start_with(&["--grace", "2s", "--drain-quiet", "500ms"]);
    running.wait_for_log("the sink is there");
    running.terminate();
    let mut written = 0;
    wait::until("the end", || {
        pod.append_lines("app.log", written..written + 1);
        written += 1;
        running.has_ended().then_some(())
    });
    let code = running.exit().code();
    let told = running.stderr().join("\n");
    // Which of the two it is depends on whether the last look saw the file at rest; neither waits for the deadline.
    assert!(!told.contains("not drained"), "{told}");
    assert!(matches!(code, Some(0 | 1)), "{told}");
    let running = pod.start();
    pod.wait_for(written);
    pod.stop(running);
    pod.assert_lines(written);
}

#[test]
fn killed_while_it_stops_its_account_is_in_the_termination_message() {
    let pod = Pod::new();
    let message = pod.dir.path().join("message");
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 0..10);
    let running = pod.start_with(&["--termination-log", message.to_str().unwrap()]);
    running.wait_for_log("did not take everything");
    pod.append_lines("app.log", 10..15);
    killed_while_stopping(
        running,
        &message,
        "read 15, acked 0, rejected 0, in flight 15, unread 0 bytes",
    );
    pod.store.refuse_all(None);
    let running = pod.start_with(&["--termination-log", message.to_str().unwrap()]);
    pod.wait_for(15);
    pod.stop(running);
    pod.assert_lines(15);
    let told = fs::read_to_string(message).unwrap();
    assert!(told.starts_with("log-sidecar: stopped: read 15, acked 15, "), "{told}");
}

/// As in a Job, whose application ends by itself.
#[test]
fn a_file_says_that_the_application_has_ended() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let end = pod.log("ended");
    let words = pod.dir.path().join("words");
    fs::write(&words, "").unwrap();
    let more = [
        "--exit-when",
        end.to_str().unwrap(),
        "--termination-log",
        words.to_str().unwrap(),
    ];
    let mut running = pod.start_with(&more);
    pod.wait_for(10);
    pod.append_lines("app.log", 10..5000);
    pod.append("app.log", "line 5000");
    fs::write(&end, "").unwrap();
    assert_eq!(running.exit().code(), Some(0), "{:?}", running.stderr());
    pod.assert_balanced(&running);
    pod.assert_lines(5001);
    let said = fs::read_to_string(&words).unwrap();
    assert!(said.contains("stopped: read 5001, acked 5001"), "{said}");

    // A sink that is away does not keep a Job from ending.
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 5001..5002);
    let mut running = pod.start_with(&[&more[..], &["--grace", "500ms"]].concat());
    assert_eq!(running.exit().code(), Some(1));
    running.wait_for_log("not drained within 500ms");
}

/// The same, and nobody makes a file.
#[test]
fn it_ends_when_nobody_is_left_who_could_write() {
    let pod = Pod::new();
    // Of an earlier pod, on a volume that outlives both.
    let to = format!("elasticsearch+http://{}/app", pod.store.address());
    pod.append("old.log", "old\n");
    let running = Running::spawn(pod.command_to(&to, &[]).env("HOSTNAME", "an-earlier-one"));
    pod.wait_for(1);
    pod.stop(running);
    let mut running = pod.start_with(&["--exit-when", "writers-gone"]);
    running.wait_for_log("the sink is there");
    std::thread::sleep(Duration::from_secs(12));
    assert!(!running.has_ended(), "the application has not begun");
    let mut writer = fs::File::create(pod.log("app.log")).unwrap();
    writer.write_all(b"line 0\nline").unwrap();
    pod.wait_for(2);
    std::thread::sleep(Duration::from_secs(12));
    assert!(!running.has_ended(), "the application has paused");
    assert_eq!(pod.store.documents("app").len(), 2, "the line may go on");
    writer.write_all(b" 1\npanicked at").unwrap();
    drop(writer);
    assert_eq!(running.exit().code(), Some(0), "{:?}", running.stderr());
    assert_eq!(pod.store.messages("app"), ["old", "line 0", "line 1", "panicked at"]);
}

/// A later pod writes on in the file of an earlier one, on volumes that outlive both.
#[test]
fn what_is_added_to_an_old_file_is_a_begin() {
    let pod = Pod::new();
    let to = format!("elasticsearch+http://{}/app", pod.store.address());
    pod.append("app.log", "old\n");
    let running = Running::spawn(pod.command_to(&to, &[]).env("HOSTNAME", "an-earlier-one"));
    pod.wait_for(1);
    pod.stop(running);
    pod.append("app.log", "new\n");
    let mut running = pod.start_with(&["--exit-when", "writers-gone"]);
    assert_eq!(running.exit().code(), Some(0), "{:?}", running.stderr());
    assert_eq!(pod.store.messages("app"), ["old", "new"]);
    // The container alone is started again, and nobody writes.
    let mut running = pod.start_with(&["--exit-when", "writers-gone"]);
    assert_eq!(running.exit().code(), Some(0), "{:?}", running.stderr());
}

/// What is there at a first start and old is of others; a sink for which nothing is written holds up nobody.
#[test]
fn what_is_old_is_no_begin_and_one_of_two_sinks_is_enough() {
    let pod = Pod::new();
    pod.append("old.log", "old\n");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let old = fs::File::options().write(true).open(pod.log("old.log")).unwrap();
    old.set_modified(long_ago).unwrap();
    drop(old);
    let store = pod.store.address();
    let text = format!(
        "exit-when: writers-gone\nsinks:\n  one: {{to: \"elasticsearch+http://{store}/app\"}}\n  other: {{to: \"elasticsearch+http://{store}/other\", include: {}}}\n",
        pod.log("none*").display()
    );
    let mut running = start(&pod, &text);
    pod.wait_for(1);
    std::thread::sleep(Duration::from_secs(12));
    assert!(!running.has_ended(), "the application has not begun");
    // It says nothing, and ends.
    drop(fs::File::create(pod.log("app.log")).unwrap());
    assert_eq!(running.exit().code(), Some(0), "{:?}", running.stderr());
}

/// As after a crash, in a pod that goes on.
#[test]
fn the_last_words_of_a_writer_that_is_gone_are_sent() {
    let pod = Pod::new();
    let running = pod.start();
    pod.append("app.log", "line 0\npanicked at");
    pod.wait_for(2);
    let last = pod.store.documents("app").pop().unwrap();
    let flag = last.source["log"]["flags"][0].as_str();
    assert_eq!((last.message(), flag), ("panicked at", Some("partial")));
    pod.append("app.log", "line 1\n");
    pod.wait_for(3);
    pod.stop(running);
    assert_eq!(pod.store.messages("app"), ["line 0", "panicked at", "line 1"]);
}
