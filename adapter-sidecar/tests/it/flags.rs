use testbed::contract::assert_usage_errors_are_last_words;
use testbed::process::{code_and_stderr, run};

use crate::BIN;

#[test]
fn help_says_what_it_does() {
    let output = run(BIN, &["--help"]);
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn all_mistakes_are_told_at_once() {
    let args = [
        "check",
        "--listen",
        "host:1",
        "--health-from",
        "https://a/",
        "--metrics-from",
        "a",
        "--on-down",
        "x",
        "--timeout",
        "1",
    ];
    let (code, stderr) = code_and_stderr(&run(BIN, &args));
    assert_eq!(code, Some(2));
    for told in [
        "5 mistakes",
        "--listen: \"host:1\"",
        "--health-from: \"https://a/\"",
        "--metrics-from: \"a\"",
        "--on-down: \"x\"",
        "--timeout: \"1\"",
    ] {
        assert!(stderr.contains(told), "{told:?} is not in: {stderr}");
    }
}

#[test]
fn there_has_to_be_something_to_answer_with() {
    let (code, stderr) = code_and_stderr(&run(BIN, &["--listen", ":0"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("give health-from, metrics-from, or both"), "{stderr}");
}

#[test]
fn a_mistake_on_the_command_line_is_in_the_termination_message() {
    assert_usage_errors_are_last_words(BIN);
}

#[test]
fn the_schema_of_the_file_is_as_it_was_read() {
    let output = run(BIN, &["schema"]);
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
