use testbed::contract::assert_usage_errors_are_last_words;
use testbed::process::{command, run};

use crate::{BIN, Volume, assert_done, assert_refused, text};

#[test]
fn help_says_what_it_does() {
    let output = run(BIN, &["--help"]);
    assert_done(&output);
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn version_and_help_work_in_a_broken_environment() {
    for flag in ["--version", "--help"] {
        assert_done(
            &command(BIN)
                .arg(flag)
                .env("INIT_COPY_LOG_LEVEL", "loud")
                .env("INIT_COPY_CONFIG", "/nonexistent")
                .output()
                .unwrap(),
        );
    }
}

#[test]
fn nothing_to_do_is_a_mistake() {
    assert_refused(&run(BIN, &[]), 2, &["SRC... DEST"]);
    assert_refused(&run(BIN, &["only-one"]), 2, &["SRC... DEST"]);
    assert_refused(&run(BIN, &["--no-such-flag"]), 2, &["--no-such-flag"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let output = command(BIN)
        .args(["--log-format", "xml", "--dest", ""])
        .env("INIT_COPY_LOG_LEVEL", "loud")
        .output()
        .unwrap();
    assert_refused(
        &output,
        2,
        &[
            "3 mistakes",
            "$INIT_COPY_LOG_LEVEL: \"loud\"",
            "--log-format: \"xml\"",
            "--dest: \"\"",
        ],
    );
}

#[test]
fn variables_and_a_file_serve_as_flags() {
    let volume = Volume::new();
    let mut by_env = command(BIN);
    by_env
        .env("INIT_COPY_SOURCE", volume.source("sample.war"))
        .env("INIT_COPY_DEST", volume.dest("by-env.war"));
    assert_done(&by_env.output().unwrap());
    let file = volume.dir.path().join("init-copy.yaml");
    let yaml = format!(
        "source:\n  - {}\ndest: {}\n",
        text(&volume.source("sample.war")),
        text(&volume.dest("by-file.war"))
    );
    std::fs::write(&file, yaml).unwrap();
    assert_done(&run(BIN, &["--config", &text(&file)]));
    assert_eq!(volume.names(), ["by-env.war", "by-file.war"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let volume = Volume::new();
    let file = volume.dir.path().join("init-copy.yaml");
    std::fs::write(&file, "source: /a\ndest: /b\nsuorce: /c\n").unwrap();
    let place = format!("{}:3:1: suorce: is not a setting; did you mean source?", text(&file));
    assert_refused(&run(BIN, &["check", "--config", &text(&file)]), 2, &[&place]);
}

#[test]
fn check_does_nothing() {
    let volume = Volume::new();
    assert_done(&run(
        BIN,
        &["check", &text(&volume.source("sample.war")), &text(&volume.dest("x"))],
    ));
    assert!(volume.names().is_empty());
}

#[test]
fn installs_itself() {
    let volume = Volume::new();
    let dir = text(&volume.dest(""));
    for _ in 0..2 {
        assert_done(&run(BIN, &["install-self", &dir]));
    }
    assert_done(&run(
        &text(&volume.dest("init-copy")),
        &["probe", &format!("file:{dir}")],
    ));
    assert_refused(
        &run(BIN, &["install-self", "/nonexistent"]),
        1,
        &["cannot install", "remedy"],
    );
}

#[test]
fn a_mistake_on_the_command_line_is_in_the_termination_message() {
    assert_usage_errors_are_last_words(BIN);
}
