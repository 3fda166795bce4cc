//! What every binary owes a pod, asserted the same for all.

mod admin;
mod sockets;

use std::fs;
use std::path::Path;

pub use admin::assert_admin_side;
pub use sockets::{assert_no_delay, assert_takes_a_burst};

use crate::process::{Running, code_and_stderr, command};
use crate::wait;

/// A mistake on the command line, of whatever kind, ends with exit code 2 and is told in the termination message; one in a probe
/// or a check, which is a guest in a container, is not.
pub fn assert_usage_errors_are_last_words(binary: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let message = dir.path().join("message");
    let path = message.to_str().expect("a plain name");
    let flag = ["--termination-log", path];
    let name = Path::new(binary).file_name().and_then(|name| name.to_str());
    let name = name.expect("a binary has a name");
    let variable = format!("{}_TERMINATION_LOG", name.replace('-', "_").to_uppercase());
    let by_flag = |args: &[&'static str]| {
        let mut all = command(binary);
        all.args(args).args(flag);
        all
    };
    let by_variable = |args: &[&'static str]| {
        let mut all = command(binary);
        all.args(args).env(&variable, path);
        all
    };
    let mut before = command(binary);
    before.args(flag).arg("--no-such-flag");
    let mut joined = command(binary);
    joined.arg(format!("--termination-log={path}")).arg("--no-such-flag");
    for (mut run, told) in [
        (by_flag(&["--no-such-flag"]), "--no-such-flag"),
        (before, "--no-such-flag"),
        (joined, "--no-such-flag"),
        (by_variable(&["--no-such-flag"]), "--no-such-flag"),
        (by_variable(&["--log-level"]), "--log-level"),
        (by_flag(&["--log-level", "loud"]), "loud"),
        (by_flag(&["check", "--no-such-flag"]), "--no-such-flag"),
        (
            by_flag(&["--log-level", "info", "check"]),
            "check is a subcommand and comes first",
        ),
        (
            by_variable(&["--log-format=json", "install-self"]),
            "install-self is a subcommand",
        ),
        (by_variable(&["install-self"]), "<DIR>"),
        (
            by_variable(&["install-self", "/no/such/directory"]),
            "/no/such/directory",
        ),
    ] {
        fs::write(&message, "").expect("the directory is ours");
        let output = run.output().expect("the binary starts");
        let text = fs::read_to_string(&message).expect("it is still there");
        let (code, stderr) = code_and_stderr(&output);
        let wanted = if told.starts_with('/') { Some(1) } else { Some(2) };
        assert_eq!(code, wanted, "{run:?}: {stderr}");
        assert!(
            text.starts_with(&format!("{name}: ")) && text.contains(told),
            "{run:?}: {text:?}"
        );
        assert!(stderr.contains(told), "{run:?}: {stderr:?}");
    }
    assert_guests_have_no_last_words(binary, &variable, &message);
}

fn assert_guests_have_no_last_words(binary: &str, variable: &str, message: &Path) {
    for (args, wanted) in [
        (&["probe", "--no-such-flag"][..], 2),
        (&["probe", "file:/no/such/file"], 1),
        (&["check", "--no-such-flag"], 2),
        (&["check", "--log-level", "loud"], 2),
    ] {
        fs::write(message, "the application's").expect("the directory is ours");
        let output = command(binary).args(args).env(variable, message).output();
        let output = output.expect("the binary starts");
        assert_eq!(
            output.status.code(),
            Some(wanted),
            "{args:?}: {:?}",
            code_and_stderr(&output)
        );
        let text = fs::read_to_string(message).expect("it is still there");
        assert_eq!(text, "the application's", "{args:?} wrote into it");
    }
}

/// SIGTERM, and SIGKILL before it is done: what the termination message says then.
#[track_caller]
pub fn killed_while_stopping(running: Running, message: &Path, told: &str) -> String {
    running.terminate();
    let read = || fs::read_to_string(message).unwrap_or_default();
    wait::until(&format!("{told:?} in the termination message"), || {
        read().contains(told).then_some(())
    });
    running.kill();
    let text = read();
    assert!(
        text.contains("killed while stopping: ") && text.contains("\nremedy: "),
        "{text:?}"
    );
    text
}
