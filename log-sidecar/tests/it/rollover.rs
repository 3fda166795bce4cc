//! An id is unique within one index: what is sent again after a rollover is looked for first.

use testbed::peer::Verdict;
use testbed::wait;

use crate::Pod;

#[test]
fn killed_before_a_rollover_it_doubles_nothing() {
    let pod = Pod::new();
    for life in 1..=5 {
        let running = pod.start();
        pod.append_lines("app.log", life * 2000 - 2000..life * 2000);
        pod.wait_for(life * 2000);
        // Most of it was acknowledged, and is not in the checkpoint yet.
        running.kill();
        pod.store.roll_over();
    }
    let running = pod.start();
    running.wait_for_log("the sink is there");
    pod.stop(running);
    pod.assert_lines(10_000);
    assert!(pod.store.searches() > 0);
}

#[test]
fn after_an_orderly_end_nothing_is_looked_for() {
    let pod = Pod::new();
    for life in 1..=3 {
        let running = pod.start();
        pod.append_lines("app.log", life * 100 - 100..life * 100);
        pod.wait_for(life * 100);
        pod.stop(running);
        pod.store.roll_over();
    }
    pod.assert_lines(300);
    assert_eq!(pod.store.searches(), 0);
}

#[test]
fn a_lost_answer_is_looked_for_at_once() {
    let pod = Pod::new();
    let mut answers = 0;
    pod.store.judge(move |_| {
        answers += 1;
        if answers % 400 == 1 {
            Verdict::StoreAndHangUp
        } else {
            Verdict::Store
        }
    });
    let running = pod.start_with(&["--batch-size", "8KiB", "--max-record", "4KiB"]);
    for round in 0..10 {
        pod.append_lines("app.log", round * 200..round * 200 + 200);
        pod.wait_for(round * 200 + 1);
        pod.store.roll_over();
    }
    pod.wait_for(2000);
    pod.stop(running);
    pod.assert_lines(2000);
    assert!(pod.store.searches() > 0);
}

#[test]
fn a_store_that_does_not_say_what_it_has_is_told_and_sent_it() {
    let pod = Pod::new();
    pod.store.forbid_search();
    pod.append_lines("app.log", 0..100);
    let running = pod.start();
    pod.wait_for(100);
    running.kill();
    let running = pod.start();
    running.wait_for_log("let us read what we write");
    // The id is known within the index.
    wait::until("all to be sent again", || (pod.store.conflicts() == 100).then_some(()));
    pod.stop(running);
    pod.assert_lines(100);
}
