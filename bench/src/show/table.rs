//! `RESULTS.md`: one table of everything, then how each scenario was measured. Pure.

use crate::judge::goal::Goal;
use crate::judge::statistics::{Quantity, ratio, spread};
use crate::judge::verdict::Verdict;
use crate::part::{Contestant, Outcome, Part, Runs, Size};
use crate::show::notation;

const HEAD: &str = "\
| scenario | program | wall, s: median (min..max) | CPU, s | peak RSS, MiB | ours/peer, wall | ours/peer, CPU | goal | met? |
|---|---|---|---|---|---|---|---|---|
";

const OPENING: &str = "\
# Results

Written by `bench/run.sh`; how to read this is in [README.md](README.md). Ratios and CPU are what holds elsewhere; absolute times are
those of this machine on that day. A ratio below 1 says that ours is faster. Every run's work was compared with its source, byte by byte.

";

/// The table, with its head.
pub(crate) fn of(parts: &[Part]) -> String {
    let mut text = HEAD.to_owned();
    for part in parts {
        for row in rows(part) {
            text += &format!("| {} |\n", row.join(" | "));
        }
    }
    text
}

/// All of `RESULTS.md`.
pub(crate) fn document(parts: &[Part]) -> String {
    let mut text = OPENING.to_owned() + &of(parts);
    for part in parts {
        text += &section(part);
    }
    text
}

/// What a file weighs, against its budget.
pub(crate) fn size(size: &Size) -> String {
    match size.bytes {
        Some(bytes) => format!(
            "{} of at most {} bytes",
            notation::bytes(bytes),
            notation::bytes(size.budget_bytes)
        ),
        None => "no such file".to_owned(),
    }
}

fn rows(part: &Part) -> Vec<[String; 9]> {
    let row = |program: &str, figures: [String; 5], goal: String, met: String| {
        let [wall, cpu, rss, wall_ratio, cpu_ratio] = figures;
        let (scenario, program) = (part.scenario.clone(), program.to_owned());
        [scenario, program, wall, cpu, rss, wall_ratio, cpu_ratio, goal, met]
    };
    match &part.outcome {
        Outcome::Runs(runs) => std::iter::once(&runs.ours)
            .chain(&runs.peers)
            .map(|contestant| {
                let (goal, met) = goals(runs, contestant);
                row(&contestant.name, figures(runs, contestant), goal, met)
            })
            .collect(),
        Outcome::Sizes(sizes) => sizes
            .iter()
            .map(|file| {
                let met = if file.is_met() { Verdict::Met } else { Verdict::Missed };
                row(&file.name, Default::default(), size(file), emphasised(met))
            })
            .collect(),
    }
}

fn figures(runs: &Runs, contestant: &Contestant) -> [String; 5] {
    let wall = spread(contestant, Quantity::Wall).map(|wall| {
        let [median, min, max] = [wall.median, wall.min, wall.max].map(notation::seconds);
        format!("{median} ({min}..{max})")
    });
    let cpu = spread(contestant, Quantity::Cpu).map(|cpu| notation::seconds(cpu.median));
    let rss = spread(contestant, Quantity::Rss).map(|rss| notation::one_decimal(rss.max));
    let is_peer = contestant.name != runs.ours.name;
    let to_peer = |quantity: Quantity| {
        let ratio = ratio(&runs.ours, contestant, quantity).filter(|_| is_peer);
        ratio.map(notation::ratio)
    };
    [wall, cpu, rss, to_peer(Quantity::Wall), to_peer(Quantity::Cpu)].map(Option::unwrap_or_default)
}

/// The goals that stand in the row of a contestant: those against a peer in its row, the others in that of ours.
fn goals(runs: &Runs, contestant: &Contestant) -> (String, String) {
    let row_of = |goal: &Goal| goal.peer().unwrap_or(&runs.ours.name).to_owned();
    let here: Vec<&Goal> = runs
        .goals
        .iter()
        .filter(|goal| row_of(goal) == contestant.name)
        .collect();
    let texts: Vec<_> = here.iter().map(|goal| goal.text()).collect();
    let verdicts: Vec<_> = here.iter().map(|goal| emphasised(goal.verdict(runs))).collect();
    (texts.join(", "), verdicts.join(", "))
}

fn emphasised(verdict: Verdict) -> String {
    match verdict {
        Verdict::Met => verdict.text().to_owned(),
        Verdict::Missed | Verdict::Unknown => format!("**{}**", verdict.text()),
    }
}

/// Of those that keep up with what is written.
fn delays(contestant: &Contestant) -> String {
    if contestant.rounds.iter().all(|sample| sample.delay_ms.is_none()) {
        return String::new();
    }
    let median = |quantity| spread(contestant, quantity).map_or(f64::NAN, |spread| spread.median);
    format!(
        "; {:.1} % of a core, half of the lines on their way for up to {:.0} ms, 99 in 100 for up to {:.0} ms",
        median(Quantity::CpuShare) * 100.0,
        median(Quantity::HalfDelay),
        median(Quantity::MostDelay)
    )
}

fn section(part: &Part) -> String {
    let name = &part.scenario;
    let mut text = format!("\n## {name}\n\nWhat is done: {}.\n\n", part.title);
    text += &format!("![Bars of {name}](charts/{name}.svg)\n\n");
    text += &format!("Measured {} at commit {}: {}", part.date, part.commit, part.machine);
    if let Outcome::Runs(runs) = &part.outcome {
        text += &format!(", {}; {} rounds.\n\n", runs.file_system, runs.ours.rounds.len());
        for contestant in std::iter::once(&runs.ours).chain(&runs.peers) {
            let version = contestant.version.as_deref().unwrap_or("**not installed**");
            text += &format!("- `{}`: {version}{}\n", contestant.command, delays(contestant));
        }
    } else {
        text += ".\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::measure::Sample;

    fn contestant(name: &str, walls: &[f64]) -> Contestant {
        let sample = |wall_seconds: &f64| Sample {
            wall_seconds: *wall_seconds,
            user_seconds: wall_seconds / 4.0,
            system_seconds: wall_seconds / 4.0,
            peak_rss_kib: 2048,
            delay_ms: None,
        };
        Contestant {
            name: name.into(),
            command: format!("{name} SRC DEST"),
            version: (!walls.is_empty()).then(|| "1.0".into()),
            rounds: walls.iter().map(sample).collect(),
        }
    }

    fn part() -> Part {
        let runs = Runs {
            file_system: "ext4".into(),
            ours: contestant("ours", &[1.0, 1.2, 1.1]),
            peers: vec![contestant("cp", &[2.0, 2.4, 2.2]), contestant("absent", &[])],
            goals: vec![
                Goal::wall_ratio("cp", 0.6),
                Goal::cpu_ratio("cp", 0.4),
                Goal::wall_ratio("absent", 1.0),
                Goal::PeakRssMib { at_most: 16.0 },
            ],
        };
        Part {
            scenario: "one-file".into(),
            title: "copy".into(),
            date: "2026-01-31".into(),
            commit: "0123456789ab".into(),
            machine: "2 cores".into(),
            outcome: Outcome::Runs(runs),
        }
    }

    #[test]
    fn every_program_has_a_row_and_every_goal_its_verdict() {
        let expected = [
            "| one-file | ours | 1.10 (1.00..1.20) | 0.550 | 2.0 |  |  | RSS ≤ 16 MiB | met |",
            "| one-file | cp | 2.20 (2.00..2.40) | 1.10 | 2.0 | 0.50x | 0.50x | wall ≤ 0.6x, CPU ≤ 0.4x | met, **missed** |",
            "| one-file | absent |  |  |  |  |  | wall ≤ 1.0x | **not measured** |",
        ];
        assert_eq!(rows_of(&of(&[part()])), expected);
    }

    fn rows_of(table: &str) -> Vec<&str> {
        table.lines().skip(2).collect()
    }

    #[test]
    fn sizes_stand_in_the_goal_column() {
        let size = |bytes| Size {
            name: "init-copy".into(),
            bytes,
            budget_bytes: 3_000_000,
        };
        let part = Part {
            outcome: Outcome::Sizes(vec![size(Some(1_160_344)), size(None)]),
            scenario: "size".into(),
            ..part()
        };
        let expected = [
            "| size | init-copy |  |  |  |  |  | 1,160,344 of at most 3,000,000 bytes | met |",
            "| size | init-copy |  |  |  |  |  | no such file | **missed** |",
        ];
        assert_eq!(rows_of(&of(&[part])), expected);
    }

    #[test]
    fn a_section_says_how_it_was_measured() {
        let text = document(&[part()]);
        for expected in [
            "Measured 2026-01-31 at commit 0123456789ab: 2 cores, ext4; 3 rounds.",
            "(charts/one-file.svg)",
            "- `cp SRC DEST`: 1.0",
            "- `absent SRC DEST`: **not installed**",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
