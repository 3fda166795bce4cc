//! Lines that come at a steady rate: what of a core it takes to follow them, and how long they are on their way.

use std::path::Path;

use crate::error::{During as _, Error};
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::run::steady::expected;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Steady, Target, Work, folder};

pub(in crate::scenario) const FIVE: Scenario = Scenario {
    name: "follow",
    kind: Kind::Runs(|place| {
        let goals = [
            Goal::CpuShare { at_most: 0.01 },
            Goal::PeakRssMib { at_most: 10.0 },
            Goal::DelayMs {
                half: 50.0,
                most: 150.0,
            },
        ];
        prepare(place, 5, 0, &goals)
    }),
};

pub(in crate::scenario) const IDLE: Scenario = Scenario {
    name: "follow-idle",
    kind: Kind::Runs(|place| prepare(place, 1, place.amount(5000, 200), &[Goal::CpuShare { at_most: 0.005 }])),
};

fn prepare(place: &Place<'_>, busy: u64, idle: u64, goals: &[Goal]) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let steady = Steady {
        busy,
        idle,
        seconds: place.amount(60, 2),
    };
    let path = folder.path().join("expected");
    expected(steady).write(&path).during("write", &path)?;
    let beside = if idle == 0 {
        String::new()
    } else {
        format!(", beside {idle} idle files")
    };
    Ok(Work {
        title: format!(
            "follow {busy} files that grow by 200 lines a second each, for {} s{beside}",
            steady.seconds
        ),
        folder,
        expected: path,
        likeness: Likeness::Content,
        target: Target::Absent,
        ends: Ends::Steady(steady),
        on_disk: true,
        ours: super::ours(place.binaries, "{scratch}/logs/*.log", &[]),
        peers: place.fluent_bit.map(fluent_bit).into_iter().collect(),
        goals: goals.to_vec(),
    })
}

fn fluent_bit(path: &Path) -> Program {
    let input = ["-p", "path={scratch}/logs/*.log", "-p", "refresh_interval=1"];
    super::fluent_bit(path, &[], &input, &[], &[])
}
