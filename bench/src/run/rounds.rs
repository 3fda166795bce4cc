//! Ours and its peers in turn, A B C, A B C: each run starts alike, is measured, and is looked at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{During as _, Error};
use crate::judge::compare;
use crate::judge::goal::Goal;
use crate::part::{Contestant, Runs};
use crate::report;
use crate::run::clear;
use crate::run::machine;
use crate::run::measure;
use crate::run::tool;
use crate::scenario::{Ends, Program, Target, Work};

/// Of ours, in whatever it does.
const PEAK_RSS_MIB: f64 = 16.0;

/// A program with its own target and what its rounds cost so far.
struct Turn<'a> {
    program: &'a Program,
    target: PathBuf,
    contestant: Contestant,
}

/// Runs everything `rounds` times after once that is not counted. Fails on the first run that fails or whose work is wrong.
pub(crate) fn run(work: &Work, rounds: usize) -> Result<Runs, Error> {
    let root = work.folder.path();
    let programs = std::iter::once(&work.ours).chain(&work.peers);
    let mut turns: Vec<Turn<'_>> = programs
        .enumerate()
        .map(|(index, program)| turn(program, root.join(format!("target-{index}"))))
        .collect();
    if turns[0].contestant.version.is_none() {
        return Err(Error::Failed {
            command: work.ours.version.join(" "),
            how: "cannot be run".into(),
            stderr: String::new(),
        });
    }
    // What was prepared is on disk, and stays in the page cache.
    nix::unistd::sync();
    for round in 0..=rounds {
        for turn in turns.iter_mut().filter(|turn| turn.contestant.version.is_some()) {
            let sample = once(work, turn.program, &turn.target)?;
            if work.target != Target::Done {
                clear::away(&turn.target, work.on_disk).during("clear away", &turn.target)?;
            }
            if round > 0 {
                turn.contestant.rounds.push(sample);
            }
        }
    }
    let mut contestants = turns.into_iter().map(|turn| turn.contestant);
    let ours = contestants.next().expect("ours is the first");
    let memory = Goal::PeakRssMib { at_most: PEAK_RSS_MIB };
    Ok(Runs {
        file_system: machine::file_system(root),
        ours,
        peers: contestants.collect(),
        goals: work.goals.iter().cloned().chain([memory]).collect(),
    })
}

fn turn(program: &Program, target: PathBuf) -> Turn<'_> {
    let version = tool::version(&program.version);
    if version.is_none() {
        report::warn(&format!("{}: cannot be run, is it installed?", program.name));
    }
    let contestant = Contestant {
        name: program.name.clone(),
        command: program.shown.clone(),
        version,
        rounds: Vec::new(),
    };
    Turn {
        program,
        target,
        contestant,
    }
}

fn once(work: &Work, program: &Program, target: &Path) -> Result<measure::Sample, Error> {
    let root = work.folder.path();
    if work.target == Target::EmptyFolder {
        fs::create_dir(target).during("create", target)?;
    }
    if work.on_disk {
        nix::unistd::sync();
    }
    let scratch = root.join("scratch");
    fs::create_dir(&scratch).during("create", &scratch)?;
    let command = program.command(&root.join("source"), target, &scratch);
    let sample = match work.ends {
        Ends::ByItself => measure::run(&command, &root.join("sample.json"))?,
        Ends::Steady(steady) => {
            let logs = scratch.join("logs");
            measure::keep_up(&command, &root.join("sample.json"), steady, &logs, target)?
        }
        Ends::Answered(traffic) => measure::answer(&command, &root.join("sample.json"), traffic, &scratch, target)?,
        Ends::Shipped(lines) => measure::ship(&command, &root.join("sample.json"), lines, target)?,
    };
    clear::away(&scratch, work.on_disk).during("clear away", &scratch)?;
    let difference = compare::difference(&work.expected, target, work.likeness).during("compare", target)?;
    if let Some(difference) = difference {
        return Err(Error::WrongWork {
            command: program.shown.clone(),
            difference,
        });
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_are_not_installed_have_no_version() {
        let version = |asked: &str| {
            let program = Program::peer("peer", &["peer"], &[asked, "--version"]);
            turn(&program, "target".into()).contestant.version
        };
        assert_eq!(version("/nonexistent/peer"), None);
        assert!(version("cp").is_some());
    }
}
