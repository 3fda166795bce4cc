use testbed::contract::assert_usage_errors_are_last_words;
use testbed::process::{code_and_stderr, command, run};

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
        "--include",
        "logs/*.log",
        "--to",
        "kafka://k/x",
        "--max-record",
        "10",
        "--poll",
        "soon",
        "--admin",
        "9601",
    ];
    let output = command(BIN).args(args).env("LOG_SIDECAR_GRACE", "25").output().unwrap();
    let (code, stderr) = code_and_stderr(&output);
    assert_eq!(code, Some(2));
    for told in [
        "6 mistakes",
        "--include: \"logs/*.log\" is not valid: it does not start with a slash",
        "--to: \"kafka://k/x\" is not valid: the scheme \"kafka\" is not one of elasticsearch+http",
        "--max-record: \"10\" is not valid: it has no unit",
        "--poll: \"soon\"",
        "$LOG_SIDECAR_GRACE: \"25\"",
        "--admin: \"9601\" is not valid",
    ] {
        assert!(stderr.contains(told), "{told:?} is not in: {stderr}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let base = ["check", "--include", "/logs/*.log", "--to", "stdout"];
    for (more, code) in [
        (["--in-flight", "2MiB"], 0),
        (["--in-flight", "2047KiB"], 2),
        (["--max-record", "0B"], 2),
        (["--poll", "9ms"], 2),
        (["--poll", "10ms"], 0),
        (["--ready-lag", "999ms"], 2),
        (["--ready-lag", "1s"], 0),
    ] {
        let args: Vec<&str> = base.iter().copied().chain(more).collect();
        assert_eq!(run(BIN, &args).status.code(), Some(code), "{more:?}");
    }
}

#[test]
fn what_is_required_is_named() {
    let (code, stderr) = code_and_stderr(&run(BIN, &[]));
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("include is missing") && stderr.contains("to is missing"),
        "{stderr}"
    );
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
