//! What the sink refuses: whose fault it is, where it is kept, and how it is sent again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testbed::http::{Reply, Server};
use testbed::peer::{Document, Verdict};
use testbed::process::code_and_stderr;
use testbed::wait;

use crate::Pod;

/// Every third line is refused.
fn is_poison(document: &Document) -> bool {
    document.message().bytes().map(usize::from).sum::<usize>() % 3 == 0
}

fn refuse_poison(document: &Document) -> Verdict {
    if is_poison(document) {
        Verdict::Refuse(400)
    } else {
        Verdict::Store
    }
}

#[test]
fn what_the_sink_refuses_for_good_is_kept_with_its_reason_and_the_rest_goes_on() {
    let pod = Pod::new();
    pod.store.judge(|document| match document.message() {
        "poison" => Verdict::Refuse(400),
        _ => Verdict::Store,
    });
    pod.append("app.log", "line 0\npoison\nline 1\n");
    let running = pod.start();
    pod.wait_for(2);
    pod.stop(running);
    pod.assert_lines(2);
    let kept = pod.dead_letters();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0]["message"].as_str(), kept[0]["offset"].as_u64()),
        (Some("poison"), Some(7))
    );
    assert!(kept[0]["reason"].as_str().unwrap().contains("status 400"));
    assert!(kept[0]["@timestamp"].as_str().unwrap().ends_with('Z'));
    let mode = fs::metadata(pod.state("dead-letter.ndjson")).unwrap().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn a_refusal_of_everything_is_no_refusal_of_records() {
    for (verdict, more) in [
        (Verdict::Refuse(400), &[][..]),
        (Verdict::RefuseAs(400, "index_closed_exception"), &[][..]),
        // Held for its type, whatever becomes of the others.
        (
            Verdict::RefuseAs(400, "mine_exception"),
            &["--hold=mine_exception", "--all-refused=reject"][..],
        ),
    ] {
        let pod = Pod::new();
        let is_mended = Arc::new(AtomicBool::new(false));
        let mended = Arc::clone(&is_mended);
        pod.store.judge(move |_| {
            if mended.load(Ordering::Relaxed) {
                Verdict::Store
            } else {
                verdict
            }
        });
        pod.append_lines("app.log", 0..100);
        let running = pod.start_with(more);
        running.wait_for_log("did not take everything");
        pod.append_lines("app.log", 100..200);
        let before = pod.store.requests();
        wait::until("more tries", || (pod.store.requests() > before + 5).then_some(()));
        assert!(pod.dead_letters().is_empty(), "{verdict:?}");
        is_mended.store(true, Ordering::Relaxed);
        pod.wait_for(200);
        pod.stop(running);
        pod.assert_lines(200);
        assert!(pod.dead_letters().is_empty(), "{verdict:?}");
    }
}

#[test]
fn a_batch_is_at_fault_once_the_sink_takes_others() {
    let pod = Pod::new();
    pod.store.judge(|document| match document.message() {
        "poison" => Verdict::Refuse(400),
        _ => Verdict::Store,
    });
    pod.append("app.log", "poison\n");
    let running = pod.start();
    running.wait_for_log("every record is refused, and held until others are taken");
    assert!(pod.dead_letters().is_empty());
    pod.append_lines("app.log", 0..1);
    pod.wait_for(1);
    wait::until("the poison to be kept", || {
        (pod.dead_letters().len() == 1).then_some(())
    });
    pod.stop(running);

    // Whoever says so does not wait.
    let pod = Pod::new();
    pod.store.judge(|_| Verdict::Refuse(400));
    pod.append("app.log", "poison\n");
    let running = pod.start_with(&["--all-refused=reject"]);
    wait::until("the poison to be kept", || {
        (pod.dead_letters().len() == 1).then_some(())
    });
    pod.stop(running);
}

#[test]
fn what_has_no_room_is_lost_and_said_to_be_whatever_else_is_well() {
    let pod = Pod::new();
    pod.store.judge(|document| match document.message() {
        "line 0" => Verdict::Store,
        _ => Verdict::Refuse(400),
    });
    pod.append_lines("app.log", 0..10);
    let message = pod.dir.path().join("message");
    fs::write(&message, "").unwrap();
    let mut running = pod.start_with(&[
        "--dead-letter-max",
        "500B",
        "--termination-log",
        message.to_str().unwrap(),
    ]);
    running.wait_for_log("the dead-letter file is nearly full");
    running.wait_for_log("the dead-letter file is full");
    wait::until("all to be settled", || (!pod.dead_letters().is_empty()).then_some(()));
    running.terminate();
    assert_eq!(running.exit().code(), Some(1));
    let kept = pod.dead_letters().len();
    let told = format!("rejected {kept}, lost {}, in flight 0", 9 - kept);
    assert!(
        running.stderr().iter().any(|line| line.contains(&told)),
        "{told}: {:?}",
        running.stderr()
    );
    let message = fs::read_to_string(message).unwrap();
    assert!(
        message.contains("records were lost") && message.contains(&told),
        "{message}"
    );
    let size = fs::metadata(pod.state("dead-letter.ndjson")).unwrap().len();
    assert!((1..=500).contains(&size), "{size}");
}

#[test]
fn each_rejected_record_is_kept_once_however_often_it_is_killed() {
    let pod = Pod::new();
    pod.store.judge(refuse_poison);
    for round in 0..12 {
        let running = pod.start();
        pod.append_lines("app.log", round * 300..round * 300 + 300);
        let before = pod.dead_letters_so_far();
        wait::until("some to be rejected", || {
            (pod.dead_letters_so_far() > before).then_some(())
        });
        running.kill();
    }
    let running = pod.start();
    // What was taken before says nothing of now: something has to be.
    pod.append_lines("app.log", 3600..3610);
    wait::until("all to be settled", || {
        (pod.dead_letters_so_far() + pod.store.documents("app").len() >= 3610).then_some(())
    });
    pod.stop(running);
    let letters = pod.dead_letters();
    let unique: BTreeSet<_> = letters
        .iter()
        .map(|letter| letter["_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(unique.len(), letters.len());
    assert_eq!(letters.len() + pod.store.documents("app").len(), 3610);
}

#[test]
fn half_a_line_of_a_killed_run_is_no_record_and_spoils_none() {
    let pod = Pod::new();
    pod.store.judge(refuse_poison);
    fs::create_dir(pod.state("")).unwrap();
    fs::write(pod.state("dead-letter.ndjson"), "{\"reason\":\"status 4").unwrap();
    pod.append_lines("app.log", 0..30);
    let running = pod.start();
    pod.wait_for(20);
    wait::until("the rest to be kept", || {
        (pod.dead_letters_so_far() >= 10).then_some(())
    });
    pod.stop(running);
    assert_eq!(pod.dead_letters().len(), 10);
}

#[test]
fn what_was_rejected_is_sent_again_on_request_beside_the_sidecar() {
    let pod = Pod::new();
    let output = pod.replay(&[]);
    assert_eq!(output.status.code(), Some(0), "{:?}", code_and_stderr(&output));
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    pod.store.judge(move |document| match refusing.load(Ordering::Relaxed) {
        true => refuse_poison(document),
        false if document.message() == "line 2" => Verdict::Refuse(400),
        false => Verdict::Store,
    });
    pod.append_lines("app.log", 0..30);
    let running = pod.start();
    pod.wait_for(20);
    wait::until("the rest to be kept", || {
        (pod.dead_letters_so_far() == 10).then_some(())
    });
    let kept = pod.dead_letters();

    // Nothing is mended: all of it is there again, once.
    let output = pod.replay(&[]);
    let (code, said) = code_and_stderr(&output);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("sent again 10, taken 0, refused again 10"), "{said}");
    assert_eq!(pod.dead_letters(), kept);

    // Mended, but for one; the sidecar goes on to use the file.
    refuses.store(false, Ordering::Relaxed);
    let is_line_2 = |letter: &serde_json::Value| letter["message"] == "line 2";
    let refused = usize::from(kept.iter().any(is_line_2));
    let output = pod.replay(&[]);
    assert_eq!(
        output.status.code(),
        Some(i32::from(refused > 0)),
        "{:?}",
        code_and_stderr(&output)
    );
    assert_eq!(pod.dead_letters().len(), refused);
    assert_eq!(pod.store.documents("app").len(), 30 - refused);
    refuses.store(true, Ordering::Relaxed);
    pod.append_lines("app.log", 30..60);
    wait::until("the new ones to be settled", || {
        (pod.dead_letters_so_far() + pod.store.documents("app").len() == 60).then_some(())
    });
    assert!(pod.dead_letters_so_far() > refused);
    pod.stop(running);

    // As it was read first, and as the same document.
    let documents = pod.store.documents("app");
    for letter in kept.iter().filter(|letter| !is_line_2(letter)) {
        let found = documents
            .iter()
            .find(|document| letter["_id"] == document.id.as_str())
            .unwrap();
        assert_eq!(found.source["@timestamp"], letter["@timestamp"]);
        assert_eq!(found.source["log"]["offset"], letter["offset"]);
    }
}

#[test]
fn a_sink_that_is_none_gets_one_record_and_not_everything_for_ever() {
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    let server = Server::start("127.0.0.1:0", move |request| {
        let lines = request.body.iter().filter(|&&byte| byte == b'\n').count() / 2;
        seen.lock().unwrap().push(lines);
        Reply::text(200, "welcome\n")
    })
    .unwrap();
    let pod = Pod::new();
    pod.append_lines("app.log", 0..100);
    let to = format!("elasticsearch+http://{}/app", server.address());
    let mut running = pod.start_to(&to, &["--grace=500ms"]);
    let told = running.wait_for_log("did not take everything");
    assert!(
        told.contains("is it the right address") && told.contains("welcome"),
        "{told}"
    );
    wait::until("more tries", || {
        (sent.lock().unwrap().iter().filter(|&&lines| lines == 1).count() > 5).then_some(())
    });
    running.terminate();
    assert_eq!(running.exit().code(), Some(1));
    let sent = sent.lock().unwrap();
    let records: usize = sent.iter().sum();
    assert!(records <= 100 + sent.len(), "{sent:?}");
    assert_eq!(
        running
            .stderr()
            .iter()
            .filter(|line| line.contains("right address"))
            .count(),
        1
    );
}

#[test]
fn held_batches_do_not_stop_the_others() {
    let pod = Pod::new();
    pod.store
        .judge(|document| match document.message().starts_with("poison") {
            true => Verdict::Refuse(400),
            false => Verdict::Store,
        });
    let running = pod.start_with(&["--retry-max=500ms"]);
    running.wait_for_log("the sink is there");
    for n in 0..20 {
        pod.append("app.log", format!("poison {n}\n"));
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    running.wait_for_log("held until others are taken");
    pod.append_lines("app.log", 0..10);
    pod.wait_for(10);
    wait::until("the poison to be kept", || {
        (pod.dead_letters_so_far() == 20).then_some(())
    });
    pod.stop(running);
    pod.assert_lines(10);
}

#[test]
fn a_sink_that_refuses_all_there_is_stops_reading_with_a_word() {
    let pod = Pod::new();
    pod.store.judge(|_| Verdict::Refuse(400));
    let running = pod.start_with(&["--in-flight=64KiB", "--batch-size=8KiB", "--max-record=8KiB"]);
    pod.append_lines("app.log", 0..50_000);
    running.wait_for_log("reading stops: the sink refuses every record");
    pod.store.judge(|_| Verdict::Store);
    pod.wait_for(50_000);
    pod.stop(running);
    pod.assert_lines(50_000);
}

/// A replay that is under way, or has been stopped, holds up nobody.
#[test]
fn a_replay_that_hangs_does_not_hold_up_the_sidecar() {
    let pod = Pod::new();
    pod.store.judge(|document| match document.message() {
        "poison" => Verdict::Refuse(400),
        _ => Verdict::Store,
    });
    pod.append("app.log", "line 0\npoison\n");
    let running = pod.start();
    wait::until("the poison to be kept", || {
        (pod.dead_letters_so_far() == 1).then_some(())
    });
    // To nowhere: it waits, and holds what it has taken away.
    let to = "elasticsearch+http://127.0.0.1:1/app";
    let mut command = testbed::process::command(crate::BIN);
    command.args(["replay", "--to", to, "--state"]).arg(pod.state(""));
    let replay = testbed::process::Running::spawn(&mut command);
    wait::until("it to be taken away", || (pod.dead_letters_so_far() == 0).then_some(()));
    pod.append("app.log", "line 1\npoison\nline 2\n");
    pod.wait_for(3);
    wait::until("the next poison to be kept", || {
        (pod.dead_letters_so_far() == 1).then_some(())
    });
    replay.kill();
    // The rest of that one, and what has come since.
    let output = pod.replay(&[]);
    let (code, said) = code_and_stderr(&output);
    assert_eq!(code, Some(1), "{said}");
    assert!(pod.dead_letters().len() == 2, "{said}");
    pod.stop(running);
    pod.assert_lines(3);
}

#[test]
fn bytes_that_are_no_utf8_keep_their_id_and_lines_that_are_no_records_are_put_aside() {
    let pod = Pod::new();
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    pod.store.judge(
        move |document| match document.message().starts_with("odd") && refusing.load(Ordering::Relaxed) {
            true => Verdict::Refuse(400),
            false => Verdict::Store,
        },
    );
    fs::write(pod.log("app.log"), b"line 0\nodd \xff\n").unwrap();
    let running = pod.start();
    wait::until("the odd one to be kept", || {
        (pod.dead_letters_so_far() == 1).then_some(())
    });
    pod.stop(running);
    let id = pod.dead_letters()[0]["_id"].as_str().unwrap().to_owned();
    let text = fs::read_to_string(pod.state("dead-letter.ndjson")).unwrap();
    fs::write(pod.state("dead-letter.ndjson"), format!("no record\n{text}")).unwrap();
    refuses.store(false, Ordering::Relaxed);
    let output = pod.replay(&[]);
    let (code, said) = code_and_stderr(&output);
    assert!(code == Some(1) && said.contains("are no records"), "{said}");
    assert!(pod.store.documents("app").iter().any(|document| document.id == id));
    assert_eq!(
        fs::read_to_string(pod.state("dead-letter.unreadable")).unwrap(),
        "no record\n"
    );
}
