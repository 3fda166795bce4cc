//! The one place that prints.

/// Progress and results.
#[expect(clippy::print_stdout, reason = "the output of this program")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// What makes the results incomplete or worthless.
#[expect(clippy::print_stderr, reason = "the output of this program")]
pub(crate) fn warn(line: &str) {
    eprintln!("bench: {line}");
}
