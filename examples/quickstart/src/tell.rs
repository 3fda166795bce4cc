//! What the reader sees.

use std::io::Write as _;

/// One line on standard output; a reader that has left is no reason to stop cleaning up.
pub(crate) fn line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// The start of a pattern's part.
pub(crate) fn pattern(name: &str, what: &str) {
    line(&format!("\n== {name}: {what}"));
}

/// A command as one would type it.
pub(crate) fn command(name: &str, args: &[String]) {
    let quoted: Vec<String> = args
        .iter()
        .map(|arg| {
            if arg.contains('*') {
                format!("'{arg}'")
            } else {
                arg.clone()
            }
        })
        .collect();
    line(&format!("   $ {name} {}", quoted.join(" ")));
}

/// What went in.
pub(crate) fn goes_in(text: &str) {
    line(&format!("   in:  {text}"));
}

/// What came out.
pub(crate) fn comes_out(text: &str) {
    line(&format!("   out: {text}"));
}
