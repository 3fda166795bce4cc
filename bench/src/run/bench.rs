//! One run of this program: scenarios in turn, what they found to disk, and whether all is well.

use std::fs;

use tempfile::TempDir;

use crate::args::Settings;
use crate::error::{During as _, Error};
use crate::judge::verdict::Verdict;
use crate::part::{self, Outcome, Part};
use crate::report;
use crate::run::clear;
use crate::run::machine;
use crate::run::rounds;
use crate::scenario::{self, Kind, Place, Scenario};
use crate::show::chart;
use crate::show::table;

/// `true` when all work was right and every goal that counts was met; what was not is said last.
pub(crate) fn run(settings: Settings) -> Result<bool, Error> {
    let mut failures = Vec::new();
    // Deleted when all has been measured, or on the way out of a failure.
    let mut folders = Vec::new();
    let commit = machine::commit();
    if settings.quick {
        report::say("one quick round: its times say nothing, and those that miss a goal are no failure");
    }
    if !settings.render_only {
        for scenario in &settings.scenarios {
            report::say(&format!("\n=== {}", scenario.name));
            match measure(scenario, &settings, &commit, &mut folders) {
                Ok(part) => {
                    report::say(&table::of(std::slice::from_ref(&part)));
                    failures.extend(misses(&part, settings.quick));
                    if !settings.quick {
                        part::write(&settings.output, &part)?;
                    }
                }
                Err(error) => failures.push(format!("{}: {error}", scenario.name)),
            }
        }
    }
    if !settings.quick {
        render(&settings)?;
    }
    for failure in &failures {
        report::warn(failure);
    }
    Ok(failures.is_empty())
}

fn measure(scenario: &Scenario, settings: &Settings, commit: &str, folders: &mut Vec<TempDir>) -> Result<Part, Error> {
    let place = Place {
        binaries: &settings.binaries,
        disk: &settings.disk,
        memory: &settings.memory,
        fluent_bit: settings.fluent_bit.as_deref(),
        quick: settings.quick,
    };
    let (title, outcome) = match scenario.kind {
        Kind::Runs(prepare) => {
            let work = prepare(&place)?;
            report::say(&work.title);
            let runs = rounds::run(&work, settings.rounds);
            if work.on_disk {
                clear::empty(work.folder.path()).during("empty", work.folder.path())?;
                folders.push(work.folder);
            }
            (work.title, Outcome::Runs(runs?))
        }
        Kind::Sizes(weigh) => (
            "weigh the binaries, static for x86_64 with musl, stripped".to_owned(),
            Outcome::Sizes(weigh(&settings.binaries)),
        ),
    };
    Ok(Part {
        scenario: scenario.name.into(),
        title,
        date: machine::date(),
        commit: commit.to_owned(),
        machine: machine::describe(),
        outcome,
    })
}

/// The goals that were not met; a quick run counts only those that are the same on any machine.
fn misses(part: &Part, quick: bool) -> Vec<String> {
    let name = &part.scenario;
    match &part.outcome {
        Outcome::Runs(runs) => {
            let counted = runs.goals.iter().filter(|goal| !quick || goal.is_deterministic());
            counted
                .filter(|goal| goal.verdict(runs) != Verdict::Met)
                .map(|goal| {
                    let against = goal.peer().map(|peer| format!(" of {peer}")).unwrap_or_default();
                    format!("{name}: {}{against}: {}", goal.text(), goal.verdict(runs).text())
                })
                .collect()
        }
        Outcome::Sizes(sizes) => {
            let missed = sizes.iter().filter(|size| !size.is_met());
            missed
                .map(|size| format!("{name}: {}: {}", size.name, table::size(size)))
                .collect()
        }
    }
}

/// Everything that is shown, from all parts there are.
fn render(settings: &Settings) -> Result<(), Error> {
    let mut parts = Vec::new();
    for scenario in scenario::ALL {
        parts.extend(part::read(&settings.output, scenario.name)?);
    }
    let charts = settings.output.join("charts");
    fs::create_dir_all(&charts).during("create", &charts)?;
    for part in &parts {
        let path = charts.join(format!("{}.svg", part.scenario));
        fs::write(&path, chart::svg(part)).during("write", &path)?;
    }
    let results = settings.output.join("RESULTS.md");
    fs::write(&results, table::document(&parts)).during("write", &results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Size;

    #[test]
    fn a_binary_that_is_too_large_or_missing_is_a_failure_also_of_a_quick_run() {
        let size = |name: &str, bytes| Size {
            name: name.into(),
            bytes,
            budget_bytes: 100,
        };
        let part = Part {
            scenario: "size".into(),
            title: String::new(),
            date: String::new(),
            commit: String::new(),
            machine: String::new(),
            outcome: Outcome::Sizes(vec![size("a", Some(100)), size("b", Some(101)), size("c", None)]),
        };
        let expected = ["size: b: 101 of at most 100 bytes", "size: c: no such file"];
        assert_eq!(misses(&part, true), expected);
    }
}
