//! Runs our binaries and their peers in turn, as whole processes, and holds what they cost against goals.
//!
//! ```text
//! scenario ──Work──▶ rounds ──Samples──▶ goal ──▶ part (JSON) ──▶ table, chart
//!                      │  ▲
//!                      ▼  │ wall, CPU, peak RSS
//!                    measure: this binary again, parent of one program
//! ```
//!
//! Invariants: work that was not checked is not counted; programs are compared only within a round of the same run; temporary data is gone
//! at the end.

mod args;
mod binaries;
mod error;
mod judge;
mod part;
mod report;
mod run;
mod scenario;
mod show;
mod work;

use std::process::ExitCode;

use run::{bench, measure};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match measure::requested(&arguments) {
        Some((output, command)) => measure::obey(output, command).map(|()| true),
        None => bench::run(args::parse()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::warn(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
