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
fn what_would_mislead_is_refused() {
    let volume = Volume::new();
    let (war, dest) = (text(&volume.source("sample.war")), text(&volume.dest("")));
    for (args, told) in [
        (&["--log-level", "warn", "verify", &dest][..], "init-copy verify"),
        (&["--prune", "verify", &dest], "write ./verify"),
        (&["--prune", "wait", "tcp://db:5432"], "init-copy wait"),
        (&["--unpack", "zip", &war, &dest], "--unpack=zip"),
        (&["--prune", "false", &war, &dest], "--prune=false"),
        (&["verify", "--full", "true", &dest], "--full=true"),
        (
            &["--strip-components", "1", &war, &dest],
            "--strip-components: has no effect: nothing is unpacked",
        ),
        (&["--max-ratio", "1", &war, &dest], "--max-ratio: has no effect"),
        (
            &["--platform", "linux/arm64", &war, &dest],
            "--platform: has no effect: no source is an oci:// one",
        ),
        (
            &["--bearer", "env:X", &war, &dest],
            "--bearer: has no effect: every source is a path",
        ),
        (&["--tries", "3", &war, &dest], "--tries: has no effect"),
        (
            &["--wait-for", "file:/", "--mode", "0600"],
            "--mode: has no effect: this step waits",
        ),
        (&["--exclude", "../x", &war, &dest], "it matches nothing"),
        (
            &["--sha256", &"0".repeat(64), "--substitute", "*", &war, &dest],
            "--sha256, --substitute: a digest says",
        ),
    ] {
        assert_refused(&run(BIN, args), 2, &[told]);
    }
    assert!(volume.names().is_empty(), "{:?}", volume.names());
    let file = volume.dir.path().join("steps.yaml");
    std::fs::write(
        &file,
        format!("prune: true\nsteps:\n  a: {{source: {war}, dest: {dest}}}\n"),
    )
    .unwrap();
    let place = format!("{}:1:1: prune: has no effect: with steps", text(&file));
    assert_refused(&run(BIN, &["--config", &text(&file)]), 2, &[&place]);
    // A file of such a name is named by its path, and what follows `--` is a path anyway.
    for name in ["verify", "zip"] {
        std::fs::write(volume.dir.path().join(name), name).unwrap();
        let mut by_path = command(BIN);
        by_path
            .current_dir(volume.dir.path())
            .args(["--prune", &format!("./{name}"), &dest]);
        assert_done(&by_path.output().unwrap());
        let mut after = command(BIN);
        after
            .current_dir(volume.dir.path())
            .args(["--prune", "--", name, &dest]);
        assert_done(&after.output().unwrap());
    }
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

#[test]
fn the_schema_of_the_file_is_as_it_was_read() {
    let output = run(BIN, &["schema"]);
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
