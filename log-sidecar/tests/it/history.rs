//! What is there at a first start, and what was rotated and compressed meanwhile.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use testbed::process::Running;
use testbed::wait;

use crate::Pod;

/// As `gzip` does: the packed file is written, and then the other one removed.
fn gzip(pod: &Pod, name: &str, packed: &str) {
    pod.gzip(name, packed);
    fs::remove_file(pod.log(name)).unwrap();
}

fn rename(pod: &Pod, from: &str, to: &str) {
    fs::rename(pod.log(from), pod.log(to)).unwrap();
}

/// It was written to so long ago.
fn age(pod: &Pod, name: &str, age: Duration) {
    let file = File::options().append(true).open(pod.log(name)).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// Births are known to some milliseconds only; what is born just before a look may be new to the next.
pub(crate) fn pass_the_grain() {
    std::thread::sleep(Duration::from_millis(50));
}

const HOUR: Duration = Duration::from_secs(3600);

fn restart(pod: &Pod, running: Running, more: &[&str]) -> Running {
    pod.stop(running);
    pod.start_with(more)
}

#[test]
fn what_was_rotated_shortly_before_the_first_start_is_read_and_older_ones_are_told() {
    let pod = Pod::new();
    pod.append_lines("app.log.3", 900..910);
    age(&pod, "app.log.3", 2 * HOUR);
    pod.append_lines("app.log.2", 0..10);
    gzip(&pod, "app.log.2", "app.log.2.gz");
    pod.append_lines("app.log.1", 10..20);
    pod.append_lines("app.log", 20..30);
    age(&pod, "app.log", 3 * HOUR);
    pod.append_lines("note.txt", 900..901);
    pass_the_grain();
    let running = pod.start();
    pod.wait_for(30);
    let told = running.wait_for_log("rotated before the first start");
    assert!(told.contains("app.log.3 (90 B)") && !told.contains("note"), "{told}");
    // The second start has no history.
    let running = restart(&pod, running, &[]);
    running.wait_for_log("reading");
    pod.stop(running);
    pod.assert_lines(30);
}

#[test]
fn a_first_start_at_the_end_leaves_out_what_is_there_and_nothing_else() {
    let pod = Pod::new();
    pod.append_lines("app.log", 900..910);
    pod.append("app.log", "line");
    pod.append_lines("app.log.1", 900..910);
    pod.append("old.log", "no end".repeat(100_000));
    pass_the_grain();
    let running = pod.start_with(&["--start", "tail"]);
    let told = running.wait_for_log("followed from its end");
    assert!(told.contains("app.log (94 B)") && told.contains("old.log"), "{told}");
    running.wait_for_log("rotated before the first start");
    pod.append("app.log", " 0\n");
    pod.append_lines("new.log", 1..10);
    pod.wait_for(10);
    pod.stop(running);
    // What comes while it is down is no history.
    pod.append_lines("app.log", 10..20);
    let running = pod.start_with(&["--start", "tail"]);
    pod.wait_for(20);
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn what_is_too_old_at_a_first_start_is_followed_from_its_end() {
    let pod = Pod::new();
    for (name, hours) in [("old.log", 25), ("young.log", 23)] {
        pod.append_lines(name, 0..10);
        age(&pod, name, hours * HOUR);
    }
    pass_the_grain();
    let running = pod.start_with(&["--ignore-older", "24h"]);
    let told = running.wait_for_log("followed from its end");
    assert!(told.contains("old.log (70 B)") && !told.contains("young"), "{told}");
    pod.append_lines("old.log", 10..11);
    pod.wait_for(11);
    pod.stop(running);
    pod.assert_lines(11);
}

#[test]
fn from_the_head_again_the_ids_are_the_same() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    fs::write(pod.log("app.log"), "").unwrap();
    running.wait_for_log("truncated");
    pod.append_lines("app.log", 10..20);
    pod.wait_for(20);
    let running = restart(&pod, running, &["--start", "head"]);
    wait::until("all to be sent again", || (pod.store.conflicts() == 10).then_some(()));
    pod.append_lines("app.log", 20..30);
    pod.wait_for(30);
    pod.stop(running);
    pod.assert_lines(30);
}

#[test]
fn rotated_twice_and_compressed_while_down() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    pod.stop(running);
    pod.append_lines("app.log", 10..20);
    gzip(&pod, "app.log", "app.log.2.gz");
    pod.append_lines("app.log", 20..30);
    gzip(&pod, "app.log", "app.log.1.gz");
    pod.append_lines("app.log", 30..40);
    let running = pod.start();
    pod.wait_for(40);
    let running = restart(&pod, running, &[]);
    running.wait_for_log("reading");
    pod.stop(running);
    pod.assert_lines(40);
    let path = |line: &str| {
        let documents = pod.store.documents("app");
        let found = documents.iter().find(|d| d.source["message"] == line).unwrap();
        found.source["log"]["file"]["path"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        path("line 15"),
        pod.log("app.log").to_str().unwrap(),
        "it is the rest of a file that is known"
    );
    assert_eq!(path("line 25"), pod.log("app.log.1.gz").to_str().unwrap());
}

#[test]
fn what_is_compressed_while_it_is_followed_is_not_sent_twice() {
    let pod = Pod::new();
    let pattern = pod.log("app.log*");
    // By its name, the archive is one to look at; by the other pattern, it even matches.
    let running = pod.start_with(&["--include", pattern.to_str().unwrap()]);
    for round in 0..4 {
        pod.append_lines("app.log", round * 500..round * 500 + 500);
        if round % 2 == 0 {
            pod.wait_for(round * 500 + 500);
        }
        rename(&pod, "app.log", "rotating.tmp");
        gzip(&pod, "rotating.tmp", &format!("app.log.{round}.gz"));
    }
    pod.wait_for(2000);
    wait::until("all archives to be judged", || {
        let lines = running.stderr();
        let copies = lines
            .iter()
            .filter(|line| line.contains("a copy of what is read"))
            .count();
        let read = lines
            .iter()
            .filter(|line| line.contains("done with what was compressed"))
            .count();
        (copies + read == 4).then_some(())
    });
    let running = restart(&pod, running, &["--include", pattern.to_str().unwrap()]);
    running.wait_for_log("the sink is there");
    pod.stop(running);
    pod.assert_lines(2000);
}

#[test]
fn killed_in_the_middle_of_an_archive_it_goes_on_there() {
    let pod = Pod::new();
    let running = pod.start();
    running.wait_for_log("no file matches yet");
    running.kill();
    pod.append_lines("app.log", 0..100_000);
    gzip(&pod, "app.log", "app.log.1.gz");
    for kill in 1..8 {
        let running = pod.start_with(&["--in-flight", "256KiB", "--batch-size", "32KiB", "--max-record", "8KiB"]);
        pod.wait_for(kill * 2000);
        running.kill();
    }
    let running = pod.start();
    pod.wait_for(100_000);
    pod.stop(running);
    pod.assert_lines(100_000);
}

#[test]
fn what_copytruncate_cut_off_is_read_from_the_compressed_copy() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = pod.start();
    pod.wait_for(10);
    running.signal(rustix::process::Signal::STOP);
    pod.append_lines("app.log", 10..20);
    fs::copy(pod.log("app.log"), pod.log("copy.tmp")).unwrap();
    fs::write(pod.log("app.log"), "").unwrap();
    gzip(&pod, "copy.tmp", "app.log.1.gz");
    running.signal(rustix::process::Signal::CONT);
    pod.wait_for(20);
    pod.append_lines("app.log", 20..30);
    pod.wait_for(30);
    pod.stop(running);
    pod.assert_lines(30);
}

#[test]
fn dated_names_and_another_directory() {
    let pod = Pod::new();
    let (only, elsewhere) = (pod.log("app.log"), pod.log("old/*.gz"));
    let start = || {
        let to = format!("elasticsearch+http://{}/app", pod.store.address());
        let state = pod.state("");
        let mut command = testbed::process::command(crate::BIN);
        command.arg("--include").arg(&only).arg("--rotated").arg(&elsewhere);
        command
            .args([
                "--admin",
                "off",
                "--poll",
                "50ms",
                "--drain-quiet",
                "50ms",
                "--to",
                &to,
                "--state",
            ])
            .arg(state);
        Running::spawn(&mut command)
    };
    fs::create_dir(pod.log("old")).unwrap();
    pod.append_lines("app.log", 0..10);
    let running = start();
    pod.wait_for(10);
    pod.stop(running);
    pod.append_lines("app.log", 10..20);
    rename(&pod, "app.log", "app.2026-11-25.0.log");
    pod.append_lines("app.log", 20..30);
    rename(&pod, "app.log", "app.2026-11-25.1.log");
    pod.append_lines("app.log", 30..40);
    gzip(&pod, "app.log", "old/2026-11-26.gz");
    pod.append_lines("app.log", 40..50);
    let running = start();
    pod.wait_for(50);
    pod.stop(running);
    pod.assert_lines(50);
}

#[test]
fn a_broken_archive_is_read_as_far_as_it_goes_and_told() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..20_000);
    gzip(&pod, "app.log", "app.log.1.gz");
    let packed = File::options().write(true).open(pod.log("app.log.1.gz")).unwrap();
    packed.set_len(packed.metadata().unwrap().len() / 2).unwrap();
    fs::write(pod.log("app.log.2.gz"), b"\x1f\x8bno header\n").unwrap();
    fs::write(pod.log("app.log.3.gz"), "").unwrap();
    fs::write(pod.log("app.log.zip"), b"PK\x03\x04 packed\n").unwrap();
    // Whatever its name says, this is text.
    fs::write(pod.log("app.log.bz2"), "line text\n").unwrap();
    let pattern = pod.log("app.log*");
    let running = pod.start_with(&["--include", pattern.to_str().unwrap()]);
    running.wait_for_log("a compressed file ends in the middle");
    running.wait_for_log("no gzip, whatever its name says");
    let told = running.wait_for_log("compressed, and not by gzip");
    assert!(told.contains("app.log.zip (12 B)"), "{told}");
    let mut running = running;
    running.terminate();
    assert_eq!(running.exit().code(), Some(1), "something was lost");
    let messages = pod.store.messages("app");
    assert!(messages.contains(&"line text".to_owned()));
    assert!((5_000..15_000).contains(&messages.len()), "{}", messages.len());
    assert!((0..messages.len() - 2).all(|n| messages.contains(&format!("line {n}"))));
}

#[test]
fn an_archive_that_begins_as_another_file_is_no_copy_of_it() {
    let pod = Pod::new();
    let banner: String = (900..1100).map(|n| format!("line {n}\n")).collect();
    let running = pod.start();
    pod.append("app.log", &banner);
    pod.wait_for(200);
    // Born and packed between two looks: no look ever saw it as `app.log`.
    pod.append("packing.tmp", &banner);
    pod.append_lines("packing.tmp", 0..10);
    gzip(&pod, "packing.tmp", "app.log.1.gz");
    // As long as a crash loop is short, its archives are all alike.
    for n in 0..2 {
        pod.append("short.tmp", "started\nfailed\n");
        gzip(&pod, "short.tmp", &format!("app.log.short-{n}.gz"));
    }
    pod.append("short.log", "started\nfailed\n");
    pod.wait_for(200 + 210 + 6);
    pod.stop(running);
    let messages = pod.store.messages("app");
    let count = |line: &str| messages.iter().filter(|message| *message == line).count();
    assert_eq!(
        (messages.len(), count("line 950"), count("line 5"), count("failed")),
        (416, 2, 1, 3)
    );
}

#[test]
fn the_copy_of_a_trace_that_is_written_is_a_copy() {
    let pod = Pod::new();
    let running = pod.start_with(&["--multiline", "/^#/", "--multiline-wait", "30s"]);
    let record = |n: usize| format!("# {n}\n{}", "  more of it\n".repeat(20));
    let text: String = (0..100).map(record).collect();
    pod.append("app.log", &text[..text.len() - 40]);
    wait::until("all but the last", || {
        (pod.store.messages("app").len() == 99).then_some(())
    });
    // In the middle of a record, at the end of one of its lines.
    let end = text[..text.len() - 40].rfind('\n').unwrap() + 1;
    fs::write(pod.log("app.log.1"), &text[..end]).unwrap();
    pod.append("app.log", &text[text.len() - 40..]);
    pod.append("app.log", "# 100\n");
    wait::until("the last one, too", || {
        (pod.store.messages("app").len() == 100).then_some(())
    });
    fs::write(pod.log("app.log"), "").unwrap();
    running.wait_for_log("a copy of what was read");
    // But that is lost which waited for more of it.
    let mut running = running;
    running.terminate();
    assert_eq!(running.exit().code(), Some(1));
    running.wait_for_log("lost unread bytes 6,");
    let mut messages = pod.store.messages("app");
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), pod.store.messages("app").len());
}

/// As of a program that writes the head of the archive when it opens it, and the rest when it rotates.
#[test]
fn an_archive_that_grows_is_read_to_its_end() {
    let pod = Pod::new();
    let running = pod.start();
    running.wait_for_log("no file matches yet");
    let mut packed = File::create(pod.log("app.log.1.gz")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let lines: String = (0..10).map(|n| format!("line {n}\n")).collect();
    encoder.write_all(lines.as_bytes()).unwrap();
    let first = encoder.finish().unwrap();
    packed.write_all(&first[..10]).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    packed.write_all(&first[10..]).unwrap();
    pod.wait_for(10);
    running.wait_for_log("done with what was compressed");
    std::thread::sleep(Duration::from_millis(500));
    // Another member.
    let mut encoder = GzEncoder::new(packed, Compression::fast());
    encoder.write_all(b"line 10\nline 11\n").unwrap();
    encoder.finish().unwrap();
    pod.wait_for(12);
    pod.stop(running);
    pod.assert_lines(12);
}

/// Whoever moves a file into the directory, it is new there, however old it is.
#[test]
fn what_is_moved_in_is_read_whenever_it_was_made() {
    let pod = Pod::new();
    let put = |from: usize| {
        for (name, start) in [("plain", from), ("packed", from + 10), ("odd", from + 20)] {
            pod.append_lines(name, start..start + 10);
            age(&pod, name, 3 * HOUR);
        }
        gzip(&pod, "packed", "packed.tmp");
        gzip(&pod, "odd", "odd.tmp");
    };
    put(0);
    pod.append_lines("../elsewhere", 30..40);
    pass_the_grain();
    let running = pod.start();
    running.wait_for_log("no file matches yet");
    for (from, to) in [
        ("plain", "app.log.1"),
        ("packed.tmp", "app.log.2.gz"),
        ("odd.tmp", "app.log.3.gz.Ab12"),
    ] {
        rename(&pod, from, to);
    }
    pod.wait_for(30);
    running.wait_for_log("done with what was compressed");
    pod.stop(running);
    // From outside, while nobody looks.
    rename(&pod, "../elsewhere", "app.log.4");
    let running = pod.start();
    pod.wait_for(40);
    let running = restart(&pod, running, &[]);
    running.wait_for_log("the sink is there");
    pod.stop(running);
    pod.assert_lines(40);
}

#[test]
fn what_is_written_to_a_rotated_file_that_was_passed_over_is_read() {
    let pod = Pod::new();
    pod.append_lines("app.log.1", 900..910);
    age(&pod, "app.log.1", 2 * HOUR);
    pass_the_grain();
    let running = pod.start();
    running.wait_for_log("rotated before the first start");
    pod.append_lines("app.log.1", 0..10);
    pod.wait_for(10);
    pod.stop(running);
    pod.append_lines("app.log.1", 10..20);
    let running = pod.start();
    pod.wait_for(20);
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn a_directory_that_could_not_be_looked_at_is_still_history_later() {
    let pod = Pod::new();
    let elsewhere = pod.state("sub");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("old.log"), "line 900\n").unwrap();
    // Nobody can look into a link to itself.
    let sub = pod.log("sub");
    std::os::unix::fs::symlink(&sub, &sub).unwrap();
    let pattern = sub.join("*.log");
    pass_the_grain();
    let running = pod.start_with(&["--start", "tail", "--include", pattern.to_str().unwrap()]);
    running.wait_for_log("cannot read a file that matches");
    std::thread::sleep(Duration::from_millis(300));
    fs::remove_file(&sub).unwrap();
    fs::write(elsewhere.join("new.log"), "line 0\n").unwrap();
    fs::rename(&elsewhere, &sub).unwrap();
    let told = running.wait_for_log("followed from its end");
    assert!(told.contains("old.log") && !told.contains("new.log"), "{told}");
    pod.wait_for(1);
    fs::write(sub.join("old.log"), "line 900\nline 1\n").unwrap();
    pod.wait_for(2);
    pod.stop(running);
    pod.assert_lines(2);
}

#[test]
fn what_a_link_leads_to_is_not_told_as_left_out() {
    let pod = Pod::new();
    pod.append_lines("app.log.20261126", 0..10);
    age(&pod, "app.log.20261126", 2 * HOUR);
    std::os::unix::fs::symlink("app.log.20261126", pod.log("app.log")).unwrap();
    pass_the_grain();
    let running = pod.start();
    pod.wait_for(10);
    pod.append_lines("app.log.20261126", 10..20);
    pod.wait_for(20);
    let lines = running.stderr();
    assert!(!lines.iter().any(|line| line.contains("not read")), "{lines:?}");
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn an_archive_that_is_written_over_is_another_and_a_tar_is_none() {
    let pod = Pod::new();
    let running = pod.start();
    for round in 0..2 {
        pod.append_lines("packing.tmp", round * 10..round * 10 + 10);
        gzip(&pod, "packing.tmp", "packed.tmp");
        // In place: it stays the same file.
        fs::write(pod.log("app.log.1.gz"), fs::read(pod.log("packed.tmp")).unwrap()).unwrap();
        pod.wait_for(round * 10 + 10);
        running.wait_for_log("done with what was compressed");
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut tar = tar_header("app.log", 9);
    tar.extend(b"line 900\n");
    tar.resize(2048, 0);
    fs::write(pod.log("tar.tmp"), tar).unwrap();
    gzip(&pod, "tar.tmp", "app.log.2.gz");
    running.wait_for_log("a tar, which holds files");
    pod.stop(running);
    pod.assert_lines(20);
}

/// Format: POSIX ustar.
fn tar_header(name: &str, size: usize) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    header
}

#[test]
fn a_large_archive_is_looked_through_to_where_its_file_was_read() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..60_000);
    let running = pod.start();
    pod.wait_for(60_000);
    pod.stop(running);
    pod.append_lines("app.log", 60_000..120_000);
    gzip(&pod, "app.log", "app.log.1.gz");
    let running = pod.start();
    pod.wait_for(120_000);
    let told = running.wait_for_log("reading what was compressed");
    assert!(told.contains("app.log.1.gz") && told.contains("app.log\""), "{told}");
    pod.stop(running);
    pod.assert_lines(120_000);
}

#[test]
fn killed_after_a_truncation_it_goes_on_in_the_copy_all_the_same() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..140);
    let running = pod.start();
    pod.wait_for(140);
    pod.stop(running);
    pod.append_lines("app.log", 140..300);
    fs::copy(pod.log("app.log"), pod.log("copy.tmp")).unwrap();
    fs::write(pod.log("app.log"), "").unwrap();
    let running = pod.start();
    running.wait_for_log("not the file that the checkpoint knew");
    wait::until("what it was to be kept", || {
        let known = fs::read_to_string(pod.state("checkpoint.json")).unwrap_or_default();
        known.contains("truncated").then_some(())
    });
    running.kill();
    gzip(&pod, "copy.tmp", "app.log.1.gz");
    pod.append_lines("app.log", 300..310);
    let running = pod.start();
    pod.wait_for(310);
    let running = restart(&pod, running, &[]);
    running.wait_for_log("the sink is there");
    pod.stop(running);
    pod.assert_lines(310);
}

/// As gzip makes it, and gives it away when it is done.
#[test]
fn what_is_packed_is_known_however_late_it_may_be_read() {
    let pod = Pod::new();
    pod.append_lines("app.log", 0..10);
    let running = crate::faults::start_unprivileged(&pod, "*.log");
    pod.wait_for(10);
    rename(&pod, "app.log", "app.log.1");
    running.wait_for_log("done with a rotated file");
    pod.gzip("app.log.1", "packing");
    let allow = |name, mode| fs::set_permissions(pod.log(name), Permissions::from_mode(mode)).unwrap();
    allow("packing", 0o600);
    rename(&pod, "packing", "app.log.1.gz");
    fs::remove_file(pod.log("app.log.1")).unwrap();
    running.wait_for_log("cannot read a file that matches");
    std::thread::sleep(Duration::from_millis(300));
    allow("app.log.1.gz", 0o644);
    running.wait_for_log("done with what was compressed");
    pod.stop(running);
    pod.assert_lines(10);
}
