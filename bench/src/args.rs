//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::binaries::Binaries;
use crate::scenario::{self, Scenario};

/// What to run, where, and where the results go.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) scenarios: Vec<&'static Scenario>,
    pub(crate) binaries: Binaries,
    /// On the disk to be measured.
    pub(crate) disk: PathBuf,
    /// On a tmpfs.
    pub(crate) memory: PathBuf,
    /// The program, where somebody has made it.
    pub(crate) fluent_bit: Option<PathBuf>,
    /// Gets `RESULTS.md`, `results/` and `charts/`.
    pub(crate) output: PathBuf,
    /// Counted ones, after one that is not.
    pub(crate) rounds: usize,
    /// Small work, no results written, times do not fail.
    pub(crate) quick: bool,
    /// Nothing is run.
    pub(crate) render_only: bool,
}

/// Ends the process when the command line is wrong or asks for help.
pub(crate) fn parse() -> Settings {
    settings(&command().get_matches())
}

fn command() -> Command {
    let path = |name: &'static str| Arg::new(name).long(name).value_parser(value_parser!(PathBuf));
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let names = PossibleValuesParser::new(scenario::ALL.iter().map(|scenario| scenario.name));
    Command::new("bench")
        .about("Run our binaries and their peers in turn, and hold what they cost against goals")
        .arg(
            Arg::new("scenario")
                .action(ArgAction::Append)
                .value_parser(names)
                .help("What to run; without: all"),
        )
        .arg(
            path("bin-dir")
                .value_name("DIR")
                .help("Where our four binaries are [default: the musl build in the target directory]"),
        )
        .arg(
            path("disk")
                .value_name("DIR")
                .env("BENCH_DIR")
                .default_value("target/bench")
                .help("For temporary data, up to 3 GiB"),
        )
        .arg(
            path("memory")
                .value_name("DIR")
                .default_value("/dev/shm")
                .help("The same, on a tmpfs, up to 0.5 GiB"),
        )
        .arg(
            path("fluent-bit")
                .value_name("FILE")
                .help("A Fluent Bit to measure log-sidecar against: Debian has none"),
        )
        .arg(
            path("output")
                .value_name("DIR")
                .default_value("bench")
                .help("Gets RESULTS.md, results and charts"),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_name("COUNT")
                .default_value("5")
                .value_parser(value_parser!(u64).range(1..=100))
                .help("How often each program is run and counted"),
        )
        .arg(
            switch("quick")
                .help("One round of small work: is all of it right? Writes no results, and no time is a failure"),
        )
        .arg(switch("render").help("Write RESULTS.md and the charts anew from what was measured before"))
}

fn settings(matches: &ArgMatches) -> Settings {
    let path = |name| matches.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let asked: Vec<&String> = matches.get_many("scenario").unwrap_or_default().collect();
    let is_asked = |scenario: &&Scenario| asked.is_empty() || asked.iter().any(|name| *name == scenario.name);
    let quick = matches.get_flag("quick");
    let rounds = matches.get_one::<u64>("rounds").copied().unwrap_or(1);
    Settings {
        scenarios: scenario::ALL.iter().filter(is_asked).collect(),
        binaries: Binaries::found_in(matches.get_one("bin-dir")),
        disk: path("disk"),
        memory: path("memory"),
        fluent_bit: matches.get_one("fluent-bit").cloned(),
        output: path("output"),
        rounds: if quick { 1 } else { usize::try_from(rounds).unwrap_or(1) },
        quick,
        render_only: matches.get_flag("render"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Settings {
        let all = ["bench"].iter().chain(arguments);
        settings(&command().try_get_matches_from(all).unwrap())
    }

    #[test]
    fn without_arguments_everything_is_run() {
        let settings = parsed(&[]);
        assert_eq!(settings.scenarios.len(), scenario::ALL.len());
        assert_eq!((settings.rounds, settings.quick), (5, false));
    }

    #[test]
    fn scenarios_are_chosen_by_name() {
        let settings = parsed(&["size", "one-file", "--quick"]);
        let names: Vec<_> = settings.scenarios.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["one-file", "size"]);
        assert_eq!(settings.rounds, 1);
        assert!(command().try_get_matches_from(["bench", "no-such-scenario"]).is_err());
        assert!(command().try_get_matches_from(["bench", "--rounds", "0"]).is_err());
    }
}
