//! Files that are not UTF-8.

use std::fs;

use testbed::wait;

use crate::Pod;
use crate::history::pass_the_grain;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn files_of_utf16_are_followed_rotated_and_packed_like_others() {
    let pod = Pod::new();
    let more: &[&str] = &["--encoding", "utf-16"];
    let lines = |range: std::ops::Range<usize>| utf16(&range.map(|n| format!("line {n}\r\n")).collect::<String>());
    let half = |n: usize| utf16(&format!("line {n}\n"));
    pod.append("app.log", utf16("\u{feff}"));
    pod.append("app.log", lines(0..10));
    let running = pod.start_with(more);
    pod.wait_for(10);
    let whole = half(10);
    let (start, end) = whole.split_at(whole.len() - 1);
    pod.append("app.log", start);
    pod.append("plain.log", "line 11\n");
    pod.wait_for(11);
    running.kill();
    pod.append("app.log", end);
    pod.append("app.log", lines(12..20));
    pod.gzip("app.log", "app.log.1.gz");
    fs::remove_file(pod.log("app.log")).unwrap();
    pod.append("app.log", utf16("\u{feff}line 20\n"));
    let running = pod.start_with(more);
    pod.wait_for(21);
    pod.stop(running);
    pod.assert_lines(21);
}

#[test]
fn a_first_start_at_the_end_of_a_file_of_utf16_begins_with_a_line() {
    for encoding in ["utf-16", "utf-16le"] {
        let pod = Pod::new();
        // Line breaks that are none: U+0A0A, and U+0D0A.
        let before = "\u{feff}before\n\u{a0a}\u{d0a}".to_owned() + &"\u{a0a}".repeat(200_000);
        pod.append("app.log", utf16(&before));
        pod.append("odd.log", utf16("\u{feff}before\nline"));
        pass_the_grain();
        let running = pod.start_with(&["--start", "tail", "--encoding", encoding]);
        running.wait_for_log("followed from its end");
        pod.append("app.log", utf16("\nline 0\n"));
        pod.append("odd.log", utf16(" 1\n"));
        pod.wait_for(2);
        pod.stop(running);
        let mut texts = pod.store.messages("app");
        texts.sort();
        assert_eq!(texts.last().unwrap(), "line 1", "{encoding}");
        assert!(texts.contains(&"line 0".to_owned()));
        // What is left of a line that began before.
        assert!(
            texts.iter().all(|text| text.starts_with("line") || text.is_empty()),
            "{texts:?}"
        );
    }
}

/// A mark alone is no evidence of which file it is.
#[test]
fn files_that_begin_with_the_same_mark_are_not_the_same() {
    const MARK: &str = "\u{feff}";
    let lines = |range: std::ops::Range<usize>| range.map(|n| format!("line {n}\n")).collect::<String>();
    let pod = Pod::new();
    pod.append("blank.log", MARK);
    pod.append("app.log", MARK.to_owned() + &lines(0..100));
    let running = pod.start();
    pod.wait_for(100);
    // As copytruncate does it.
    fs::copy(pod.log("app.log"), pod.log("app.log.1")).unwrap();
    fs::write(pod.log("app.log"), "").unwrap();
    pod.append("app.log", MARK.to_owned() + &lines(100..110));
    pod.wait_for(110);
    // Read, and not taken.
    pod.store.refuse_all(Some(503));
    pod.append("new.log", MARK.to_owned() + &lines(900..1000));
    let size = fs::metadata(pod.log("new.log")).unwrap().len();
    let read = format!("\"read\":{size},");
    wait::until("the checkpoint says how far it was read", || {
        fs::read_to_string(pod.state("checkpoint.json"))
            .unwrap()
            .contains(&read)
            .then_some(())
    });
    running.kill();
    // Then it is another file in the same place.
    fs::write(pod.log("new.log"), MARK.to_owned() + &lines(110..300)).unwrap();
    pod.store.refuse_all(None);
    let running = pod.start();
    running.wait_for_log("not the file that the checkpoint knew");
    pod.wait_for(300);
    pod.stop(running);
    pod.assert_lines(300);
}
