//! Programs that are run for what they say or make, not to be measured.

use std::path::Path;
use std::process::Command;

use crate::error::{During as _, Error};

/// Standard output of a command that has to succeed.
pub(crate) fn output_of(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_owned();
    let output = command.output().during("run", Path::new(&program))?;
    if !output.status.success() {
        return Err(Error::Failed {
            command: program.to_string_lossy().into_owned(),
            how: format!("failed with {}; it said:", output.status),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line a program says about itself; `None` when it cannot be run. Its exit code does not matter: not all call this a success.
pub(crate) fn version(command: &[String]) -> Option<String> {
    let [program, arguments @ ..] = command else {
        return None;
    };
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(first_line(&text))
}

fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_with_text_is_the_version() {
        assert_eq!(
            first_line("\n  rsync  version 3.5.0  protocol version 32\nmore"),
            "rsync version 3.5.0 protocol version 32"
        );
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn what_is_not_installed_has_no_version() {
        assert_eq!(version(&["/nonexistent/program".into(), "--version".into()]), None);
        assert!(version(&["cp".into(), "--version".into()]).is_some_and(|line| line.contains("cp")));
    }
}
