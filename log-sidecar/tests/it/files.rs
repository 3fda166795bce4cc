//! What applications and logrotate do to files.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testbed::process::Running;
use testbed::wait;

use crate::Pod;

#[test]
fn rename_rotation_under_load_loses_nothing() {
    let pod = Pod::new();
    let running = pod.start();
    for round in 0..20 {
        pod.append_lines("app.log", round * 50..round * 50 + 50);
        fs::rename(pod.log("app.log"), pod.log(&format!("app.log.{round}"))).unwrap();
    }
    pod.wait_for(1000);
    pod.stop(running);
    pod.assert_lines(1000);
}

#[test]
fn a_writer_that_keeps_the_rotated_file_open_is_still_heard() {
    let pod = Pod::new();
    let running = pod.start();
    pod.append_lines("app.log", 0..1);
    pod.wait_for(1);
    fs::rename(pod.log("app.log"), pod.log("old")).unwrap();
    pod.append_lines("app.log", 1..2);
    pod.wait_for(2);
    pod.append_lines("old", 2..3);
    pod.wait_for(3);
    fs::remove_file(pod.log("old")).unwrap();
    pod.stop(running);
    pod.assert_lines(3);
}

#[test]
fn renamed_away_while_the_sidecar_is_down() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    pod.append_lines("app.log", 10..20);
    fs::rename(pod.log("app.log"), pod.log("archive-1")).unwrap();
    pod.append_lines("app.log", 20..30);
    let running = pod.start();
    pod.wait_for(30);
    pod.stop(running);
    pod.assert_lines(30);
    let paths: Vec<_> = pod
        .store
        .documents("app")
        .iter()
        .map(|d| d.source["log"]["file"]["path"].clone())
        .collect();
    assert!(
        paths.iter().all(|path| path == pod.log("app.log").to_str().unwrap()),
        "known under its first name"
    );
}

#[test]
fn renamed_away_while_the_sink_is_down() {
    let pod = Pod::new();
    pod.store.refuse_all(Some(503));
    let running = pod.start();
    for round in 0..5 {
        pod.append_lines("app.log", round * 10..round * 10 + 10);
        wait::until("the file to be seen", || {
            let seen = running
                .stderr()
                .iter()
                .filter(|line| line.contains("\"reading\""))
                .count();
            (seen > round).then_some(())
        });
        fs::rename(pod.log("app.log"), pod.log(&format!("gone-{round}"))).unwrap();
    }
    running.wait_for_log("did not take everything");
    pod.store.refuse_all(None);
    pod.wait_for(50);
    pod.stop(running);
    pod.assert_lines(50);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    fs::write(pod.log("app.log"), "").unwrap();
    running.wait_for_log("truncated");
    pod.append_lines("app.log", 10..20);
    pod.wait_for(20);
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn a_file_written_anew_beyond_the_old_offset_is_noticed() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    let anew: String = (10..40).map(|n| format!("line {n}\n")).collect();
    fs::write(pod.log("app.log"), anew).unwrap();
    pod.wait_for(40);
    pod.stop(running);
    pod.assert_lines(40);
}

#[test]
fn replaced_while_the_sidecar_is_down() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    fs::remove_file(pod.log("app.log")).unwrap();
    pod.append_lines("app.log", 10..30);
    let running = pod.start();
    pod.wait_for(30);
    pod.stop(running);
    pod.assert_lines(30);
}

#[test]
fn twins_and_links_are_read_once() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    fs::hard_link(pod.log("app.log"), pod.log("twin.log")).unwrap();
    std::os::unix::fs::symlink(pod.log("app.log"), pod.log("link.log")).unwrap();
    let running = pod.start();
    pod.wait_for(10);
    pod.append_lines("twin.log", 10..20);
    pod.wait_for(20);
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn equal_files_are_two_files() {
    let pod = Pod::new();
    pod.append("a.log", "same\n");
    pod.append("b.log", "same\n");
    let running = pod.start();
    wait::until("both", || (pod.store.messages("app") == ["same", "same"]).then_some(()));
    pod.stop(running);
}

#[test]
fn rotated_twice_while_the_sidecar_is_down() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    pod.append_lines("app.log", 10..20);
    fs::rename(pod.log("app.log"), pod.log("app.log.2")).unwrap();
    pod.append_lines("app.log", 20..30);
    fs::rename(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    pod.append_lines("app.log", 30..40);
    let running = pod.start();
    pod.wait_for(40);
    pod.stop(running);
    pod.assert_lines(40);
}

#[test]
fn the_copy_that_copytruncate_makes_is_not_sent_again() {
    let pod = Pod::new();
    let running = pod.start();
    for round in 0..3 {
        pod.append_lines("app.log", round * 10..round * 10 + 10);
        pod.wait_for(round * 10 + 10);
        fs::copy(pod.log("app.log"), pod.log(&format!("app.log.{round}"))).unwrap();
        fs::write(pod.log("app.log"), "").unwrap();
        wait::until("the truncation to be seen", || {
            let seen = running
                .stderr()
                .iter()
                .filter(|line| line.contains("truncated"))
                .count();
            (seen > round).then_some(())
        });
    }
    pod.stop(running);
    pod.assert_lines(30);
}

#[test]
fn what_copytruncate_cut_off_is_read_from_the_copy() {
    let pod = Pod::new();
    pod.store.refuse_all(Some(503));
    pod.append_lines("app.log", 0..10);
    let running = pod.start_with(&["--in-flight", "16KiB", "--batch-size", "1KiB", "--max-record", "8KiB"]);
    running.wait_for_log("did not take everything");
    pod.append_lines("app.log", 10..6000);
    fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    fs::write(pod.log("app.log"), "").unwrap();
    running.wait_for_log("truncated");
    pod.append_lines("app.log", 6000..6010);
    pod.store.refuse_all(None);
    pod.wait_for(6010);
    pod.stop(running);
    pod.assert_lines(6010);
}

#[test]
fn copytruncate_before_and_during_a_restart_doubles_nothing() {
    let pod = Pod::new();
    let running = pod.start();
    for round in 0..2 {
        pod.append_lines("app.log", round * 10..round * 10 + 10);
        pod.wait_for(round * 10 + 10);
        if round == 1 {
            break;
        }
        fs::copy(pod.log("app.log"), pod.log("app.log.0")).unwrap();
        fs::write(pod.log("app.log"), "").unwrap();
        running.wait_for_log("truncated");
    }
    pod.stop(running);
    pod.append_lines("app.log", 20..30);
    fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    fs::write(pod.log("app.log"), "").unwrap();
    pod.append_lines("app.log", 30..35);
    let running = pod.start();
    pod.wait_for(35);
    pod.stop(running);
    pod.assert_lines(35);
}

#[test]
fn equal_headers_do_not_make_a_copy() {
    let pod = Pod::new();
    let header = "#Version: 1.0\n";
    pod.append("idle.log", header);
    let running = pod.start();
    pod.wait_for(1);
    for round in 0..6 {
        pod.append("app.log", header);
        pod.append("app.log", format!("unlike {round}\n"));
        fs::rename(pod.log("app.log"), pod.log(&format!("app.log.{round}"))).unwrap();
    }
    pod.wait_for(13);
    pod.stop(running);
    let unlike = pod
        .store
        .messages("app")
        .iter()
        .filter(|message| message.starts_with("unlike"))
        .count();
    assert_eq!(unlike, 6);
}

#[test]
fn content_rewritten_at_the_same_place_while_down_is_not_taken_for_delivered() {
    let pod = Pod::new();
    pod.store.judge(|_| testbed::peer::Verdict::StoreAndHangUp);
    pod.append_lines("app.log", 0..5);
    let running = pod.start();
    pod.wait_for(5);
    running.kill();
    pod.store.judge(|_| testbed::peer::Verdict::Store);
    fs::write(
        pod.log("app.log"),
        (5..10).map(|n| format!("line {n}\n")).collect::<String>(),
    )
    .unwrap();
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    pod.assert_lines(10);
}

#[test]
fn braces_in_a_pattern_and_an_exclusion_after_a_restart() {
    let pod = Pod::new();
    pod.append_lines("a.txt", 0..5);
    pod.append_lines("b.txt", 5..10);
    let pattern = pod.log("{a,b}.txt");
    let running = pod.start_with(&["--include", pattern.to_str().unwrap()]);
    pod.wait_for(10);
    pod.stop(running);
    pod.append_lines("a.txt", 10..11);
    pod.append("b.txt", "excluded\n");
    let excluded = pod.log("b.*");
    let running = pod.start_with(&[
        "--include",
        pattern.to_str().unwrap(),
        "--exclude",
        excluded.to_str().unwrap(),
    ]);
    pod.wait_for(11);
    pod.stop(running);
    pod.assert_lines(11);
}

/// A crash loop says the same again and again: three files, of which nobody saw the second one before it was rotated.
fn crash_loop(pod: &Pod, running: &Running) {
    let crash = "start\npanic at main\n";
    pod.append("app.log", crash);
    pod.wait_for(2);
    running.signal(Signal::STOP);
    for rotated in ["app.log.2", "app.log.1"] {
        fs::rename(pod.log("app.log"), pod.log(rotated)).unwrap();
        pod.append("app.log", crash);
    }
    running.signal(Signal::CONT);
    pod.wait_for(4);
}

#[test]
fn equal_short_files_of_a_crash_loop_are_all_sent() {
    // What cannot be told from a copy waits for a truncation; the end waits for nothing.
    let pod = Pod::new();
    let running = pod.start();
    crash_loop(&pod, &running);
    pod.stop(running);
    assert_eq!(pod.store.messages("app").len(), 6);

    // Killed while it waits: the next run finds it still.
    let pod = Pod::new();
    let running = pod.start();
    crash_loop(&pod, &running);
    wait::until("a checkpoint of the two that were read", || {
        let text = fs::read_to_string(pod.state("checkpoint.json")).unwrap_or_default();
        (text.matches("\"offset\":20,").count() == 2).then_some(())
    });
    running.kill();
    let running = pod.start();
    running.wait_for_log("the sink is there");
    pod.stop(running);
    assert_eq!(pod.store.messages("app").len(), 6);
}

#[test]
fn a_deleted_file_is_heard_as_long_as_its_writer_may_pause() {
    let pod = Pod::new();
    // Whoever has it open is seen.
    let running = pod.start_with(&["--hold-deleted", "10s"]);
    let mut writer = fs::File::create(pod.log("app.log")).unwrap();
    writer.write_all(b"line 0\n").unwrap();
    pod.wait_for(1);
    fs::remove_file(pod.log("app.log")).unwrap();
    std::thread::sleep(Duration::from_secs(14));
    writer.write_all(b"line 1\nline").unwrap();
    pod.wait_for(2);
    writer.write_all(b" 2\npanicked at").unwrap();
    pod.wait_for(3);
    drop(writer);
    let closed = Instant::now();
    running.wait_for_log("done with a rotated file");
    assert!(
        closed.elapsed() < Duration::from_secs(5),
        "nobody is waited for any more"
    );
    pod.stop(running);
    assert_eq!(pod.store.messages("app"), ["line 0", "line 1", "line 2", "panicked at"]);
}

#[test]
fn deleted_files_are_let_go_beyond_their_limit() {
    let pod = Pod::new();
    let running = pod.start_with(&["--hold-deleted-max=1KiB"]);
    let line = "x".repeat(699) + "\n";
    // Held as long as somebody has them open.
    let writers = ["a.log", "b.log"].map(|name| {
        pod.append(name, &line);
        fs::File::options().append(true).open(pod.log(name)).unwrap()
    });
    pod.wait_for(2);
    fs::remove_file(pod.log("a.log")).unwrap();
    fs::remove_file(pod.log("b.log")).unwrap();
    let told = running.wait_for_log("more than --hold-deleted-max");
    assert!(told.contains("a.log") || told.contains("b.log"), "{told}");
    running.wait_for_log("done with a rotated file");
    let lines = running.stderr();
    let done = lines
        .iter()
        .filter(|line| line.contains("done with a rotated file"))
        .count();
    assert_eq!(done, 1, "the other one fits");
    drop(writers);
    pod.stop(running);
}

/// copytruncate under a writer that goes on: what it writes between copy and truncation makes the file longer than the copy.
#[test]
fn a_copy_that_lacks_the_last_lines_is_a_copy_all_the_same() {
    for (pattern, pause) in [("*.log", 0), ("*.log", 300), ("app.log*", 0), ("app.log*", 300)] {
        let pod = Pod::new();
        let include = pod.log(pattern);
        let running = pod.start_with(&["--include", include.to_str().unwrap()]);
        let mut lines = 0;
        for round in 0..4 {
            pod.append_lines("app.log", lines..lines + 100);
            pod.wait_for(lines + 100);
            fs::copy(pod.log("app.log"), pod.log(&format!("app.log.{round}"))).unwrap();
            pod.append_lines("app.log", lines + 100..lines + 110);
            pod.wait_for(lines + 110);
            std::thread::sleep(Duration::from_millis(pause));
            fs::File::options()
                .write(true)
                .open(pod.log("app.log"))
                .unwrap()
                .set_len(0)
                .unwrap();
            lines += 110;
            wait::until("the truncation to be seen", || {
                let stderr = running.stderr();
                (stderr.iter().filter(|line| line.contains("truncated")).count() > round).then_some(())
            });
        }
        pod.append_lines("app.log", lines..lines + 1);
        pod.wait_for(lines + 1);
        wait::until("the last copy to be known", || {
            let stderr = running.stderr();
            (stderr.iter().filter(|line| line.contains("left out")).count() == 4).then_some(())
        });
        pod.stop(running);
        pod.assert_lines(lines + 1);
    }
}

#[test]
fn a_hole_left_by_a_truncation_is_no_line() {
    let pod = Pod::new();
    let mut writer = fs::File::create(pod.log("app.log")).unwrap();
    let mut offset = 0;
    let mut write = |lines: std::ops::Range<usize>| {
        use std::os::unix::fs::FileExt as _;
        let text: String = lines.map(|n| format!("line {n}\n")).collect();
        writer.write_all_at(text.as_bytes(), offset).unwrap();
        offset += text.len() as u64;
        writer.flush().unwrap();
    };
    write(0..1000);
    let running = pod.start();
    pod.wait_for(1000);
    fs::File::options()
        .write(true)
        .open(pod.log("app.log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    running.wait_for_log("truncated");
    write(1000..1010);
    pod.wait_for(1010);
    running.wait_for_log("passed over a hole");
    let admin = running.address("admin listening");
    let metrics = testbed::client::get(&admin, "/metrics").unwrap().text();
    assert!(metrics.contains("log_hole_bytes_total 8890"), "{metrics}");
    pod.stop(running);
    // And what is settled covers it.
    let running = pod.start();
    running.wait_for_log("the sink is there");
    pod.stop(running);
    pod.assert_lines(1010);
}

/// Room that an application has made for its lines: they come where NULs stood, and the size stays.
#[test]
fn a_file_with_room_for_lines_is_read_as_they_come() {
    use std::os::unix::fs::FileExt as _;
    let pod = Pod::new();
    let file = fs::File::create(pod.log("app.log")).unwrap();
    file.set_len(1 << 20).unwrap();
    let running = pod.start();
    running.wait_for_log("\"reading\"");
    let mut offset = 0;
    let mut write = |text: &str| {
        file.write_all_at(text.as_bytes(), offset).unwrap();
        offset += text.len() as u64;
    };
    write("line 0\nli");
    pod.wait_for(1);
    write("ne 1\n");
    pod.wait_for(2);
    for line in 2..200 {
        write(&format!("line {line}\n"));
    }
    pod.wait_for(200);
    pod.stop(running);
    pod.assert_lines(200);
    // The next run goes on.
    let running = pod.start();
    write("line 200\n");
    pod.wait_for(201);
    pod.stop(running);
    pod.assert_lines(201);
}

/// What many files say is no evidence: a rotated file is no copy of a file of another name.
#[test]
fn a_file_of_another_name_is_no_copy_and_a_copy_that_grows_is_none() {
    let pod = Pod::new();
    pod.append("a.log", "banner\nx\n");
    let running = pod.start();
    pod.wait_for(2);
    running.signal(Signal::STOP);
    pod.append("b.log", "banner\n");
    fs::rename(pod.log("b.log"), pod.log("b.log.1")).unwrap();
    fs::File::options()
        .write(true)
        .open(pod.log("a.log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    running.signal(Signal::CONT);
    running.wait_for_log("truncated");
    pod.append("b.log.1", "y\n");
    pod.wait_for(4);
    pod.stop(running);
    let mut messages = pod.store.messages("app");
    messages.sort();
    assert_eq!(messages, ["banner", "banner", "x", "y"]);

    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    pod.append_lines("app.log", 10..12);
    pod.wait_for(12);
    fs::File::options()
        .write(true)
        .open(pod.log("app.log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    running.wait_for_log("left out");
    pod.append_lines("app.log.1", 12..13);
    pod.append_lines("app.log", 13..14);
    wait::until("the copy that grew", || {
        pod.store.messages("app").contains(&"line 12".to_owned()).then_some(())
    });
    pod.stop(running);
}

#[test]
fn a_short_life_is_no_reason_not_to_be_read() {
    let pod = Pod::new();
    let pattern = pod.log("*");
    pod.append("job.log", "done\n");
    let running = pod.start_with(&["--include", pattern.to_str().unwrap()]);
    pod.wait_for(1);
    for name in ["job-2.log", "other-2.log"] {
        pod.append(name, "done\n");
        std::thread::sleep(Duration::from_millis(700));
        fs::remove_file(pod.log(name)).unwrap();
    }
    pod.wait_for(3);
    pod.stop(running);
    assert_eq!(pod.store.messages("app"), ["done"; 3]);
}

#[test]
fn a_directory_that_is_made_again_is_watched_again() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..1);
    let running = pod.start();
    pod.wait_for(1);
    fs::remove_dir_all(pod.log("")).unwrap();
    fs::create_dir(pod.log("")).unwrap();
    pod.append_lines("app.log", 1..2);
    pod.wait_for(2);
    pod.append_lines("app.log", 2..3);
    pod.wait_for(3);
    pod.stop(running);
    pod.assert_lines(3);
}
