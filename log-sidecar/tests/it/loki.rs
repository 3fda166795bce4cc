//! Loki: what it gets, and what it may say.

use testbed::peer::loki::Loki;
use testbed::process::Running;
use testbed::wait;

use crate::Pod;

fn ship(loki: &Loki, pod: &Pod, more: &[&str]) -> Running {
    let more = [&["--header", "X-Scope-OrgID=team", "--label", "job=shop"], more].concat();
    pod.start_to(&format!("loki+http://{}", loki.address()), &more)
}

#[track_caller]
fn wait_for(loki: &Loki, count: usize) {
    wait::until("the entries", || (loki.kept().len() >= count).then_some(()));
}

/// Many say the same in the same second.
fn lines(range: std::ops::Range<usize>) -> String {
    range
        .map(|n| format!("2026-11-26T10:00:{:02}Z started\n", n / 1000 % 60))
        .collect()
}

#[test]
fn each_line_is_there_once_also_after_kills_and_refusals() {
    let pod = Pod::new();
    let mut busy = [503, 429, 401, 260].into_iter();
    let loki = Loki::start("team", move |_| busy.next()).unwrap();
    pod.append("app.log", lines(0..20_000));
    pod.append("other.log", lines(0..100));
    for kill in 1..4 {
        let running = ship(&loki, &pod, &["--batch-size", "32KiB", "--in-flight", "512KiB"]);
        wait_for(&loki, kill * 4000);
        running.kill();
    }
    let running = ship(&loki, &pod, &[]);
    wait_for(&loki, 20_100);
    pod.append("app.log", lines(20_000..20_010));
    wait_for(&loki, 20_110);
    pod.stop(running);
    assert_eq!(loki.kept().len(), 20_110);
    assert!(
        loki.kept().values().all(|&times| times == 1),
        "each is sent once, though Loki would not always notice"
    );
    let path = pod.log("other.log").display().to_string();
    let of_other = loki
        .kept()
        .iter()
        .filter(|((labels, ..), _)| *labels == format!("{{filename=\"{path}\", job=\"shop\"}}"))
        .count();
    assert_eq!(of_other, 100);
}

/// More of them than there are nanoseconds in a millisecond, and farther from the one that says the time than anybody looks back.
#[test]
fn lines_that_do_not_say_when_are_there_once_in_their_order_also_after_kills() {
    let pod = Pod::new();
    let loki = Loki::start("team", |_| None).unwrap();
    pod.append("app.log", "2026-11-26T10:00:00.123Z started\n");
    let line = |n: usize| format!("\tat org.example.Main.run(Main.java:{})\n", n / 7000);
    pod.append("app.log", (0..35_000).map(line).collect::<String>());
    for kill in 1..4 {
        let running = ship(&loki, &pod, &["--batch-size", "64KiB", "--in-flight", "512KiB"]);
        wait_for(&loki, kill * 6000);
        running.kill();
    }
    let running = ship(&loki, &pod, &[]);
    wait_for(&loki, 35_001);
    pod.stop(running);
    let kept = loki.kept();
    assert_eq!(kept.len(), 35_001);
    assert!(kept.values().all(|&times| times == 1));
    let lines: Vec<_> = kept.keys().map(|(_, _, line)| line).collect();
    assert!(lines[0].ends_with("started") && lines[1..].is_sorted());
}

#[test]
fn an_entry_that_is_too_old_is_found_and_kept() {
    let pod = Pod::new();
    let loki = Loki::start("team", |line| line.contains("2020").then_some(400)).unwrap();
    pod.append("app.log", lines(0..300));
    pod.append("app.log", "2020-01-01T00:00:00Z old\n");
    pod.append("app.log", lines(300..600));
    let running = ship(&loki, &pod, &[]);
    wait_for(&loki, 600);
    wait::until("the dead letter", || (pod.dead_letters_so_far() == 1).then_some(()));
    pod.stop(running);
    assert_eq!(loki.kept().len(), 600);
    assert!(
        loki.kept().values().all(|&times| times == 1),
        "what is stored is not pushed again"
    );
    let letter = &pod.dead_letters()[0];
    assert_eq!(letter["message"], "2020-01-01T00:00:00Z old");
    assert!(letter["reason"].as_str().unwrap().contains("too old"), "{letter}");
}

#[test]
fn a_label_has_to_be_one() {
    let pod = Pod::new();
    for label in ["bad-name=x", "1a=x", "filename=x", "a="] {
        let mut running = pod.start_to("loki+http://127.0.0.1:3100", &["--label", label]);
        assert_eq!(running.exit().code(), Some(2), "{label}");
    }
}
