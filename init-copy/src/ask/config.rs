//! Flags and the proved configuration: which verb, and the steps of a copy.

use std::path::PathBuf;
use std::time::Duration;

use pod_contract::config::{Flag, Repeat, Section, Settings, optional, positional, setting, switch};
use pod_contract::start::cli::Verb;
use pod_contract::tls::{self, Tls};
use pod_contract::units::OrOff;

use super::cp;
use super::step::{PATHS, Step, receipt_flag};
use crate::receipt::{Keeping, Verify};
use crate::wait::Condition;

pub(crate) const AFTER_HELP: &str = "\
SRC is a file, a directory, a pattern, http(s)://host/path, s3://bucket/key or oci://registry/repository:tag. A directory is copied under its name; SRC/ (with a \
slash) contributes its contents, and so do archives with --unpack. DEST is a directory when it exists as one, ends with a slash, \
or there is more than one SRC; otherwise it names the file.

Examples:
  init-copy /sample.war /webapps/
  init-copy --unpack --sha256 HEX https://repo.example/app.war /webapps/ROOT/
  init-copy oci://registry.example/team/model:v3 /models/
  init-copy --config steps.yaml

Exit codes: 0 done or already done, 1 failed, 2 bad flags, 10 source missing or changing, 11 wrong digest or signature, 12 network, 13 credentials, \
14 no space or a limit, 15 permission or read-only, 16 the destination holds something else there, 17 deadline, 18 archive or artifact \
damaged or unsafe, 130 and 143 ended by a signal";

const CONDITIONS: &str = "CONDITION...";
const DEST: &str = "DEST";

/// What only a file can say: several steps.
pub(crate) const SECTIONS: &[Section] = &[Section {
    name: "steps",
    help: "Copies that are made one after the other",
    repeat: Repeat::Named,
    flags: Step::flags,
}];

/// The settings of a copy.
pub(crate) fn flags() -> Vec<Flag> {
    let mut all = vec![positional::<String>(PATHS, "What to copy, and where to")];
    all.extend(Step::flags());
    all.extend(network_flags());
    all.push(optional::<OrOff<Duration>>(
        "progress",
        "DURATION",
        "5s",
        "A line in the log so often while bytes move, a bar on a terminal; off for neither [default: 5s]",
    ));
    all
}

fn network_flags() -> Vec<Flag> {
    let mut all = vec![
        setting::<OrOff<Duration>>(
            "deadline",
            "DURATION",
            "For everything together, waiting included; off for none [default: 1h]",
        ),
        setting::<Duration>(
            "stall-timeout",
            "DURATION",
            "A download or an answer that stands still for so long is tried again [default: 30s]",
        ),
    ];
    all.extend(tls::flags());
    all
}

pub(crate) const VERBS: &[Verb] = &[
    Verb {
        name: "plan",
        about: "Say what would be done, what it takes, and whether it fits; change nothing",
        after_help: "Exit codes: 0 it would work, otherwise as for the copy itself",
        flags,
        sections: SECTIONS,
        is_probe: false,
    },
    Verb {
        name: "verify",
        about: "Exit 0 if everything that was copied to DEST is still there as it was; also as a probe of a neighbour",
        after_help: "Exit codes: 0 as it was, 10 nothing was copied there, 11 something differs",
        flags: || {
            vec![
                positional::<PathBuf>(DEST, "Where it was copied to"),
                switch(
                    "full",
                    "Read every file that has a digest in the receipt, instead of looking at inode, size and times",
                ),
                receipt_flag(),
            ]
        },
        sections: &[],
        is_probe: true,
    },
    Verb {
        name: "wait",
        about: "Wait until all conditions have held",
        after_help: "Example: init-copy wait tcp://db:5432 'http://api:8080/health#status=200&body=UP' dns://cache file:/run/ready\n\
                     Exit codes: 0 they hold, 17 the deadline passed",
        flags: || {
            let mut all = vec![positional::<Condition>(
                CONDITIONS,
                "tcp://HOST:PORT, http(s)://HOST/PATH#status=200-299&body=TEXT, dns://NAME, file:PATH",
            )];
            all.extend(network_flags());
            all
        },
        sections: &[],
        is_probe: false,
    },
    cp::VERB,
];

/// What to do.
#[derive(Debug)]
pub struct Config {
    pub(crate) task: Task,
    pub(crate) network: Network,
    /// How often to tell how far it is.
    pub(crate) progress: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Task {
    Copy(Vec<Step>),
    Plan(Vec<Step>),
    Verify(Verify),
    Wait(Vec<Condition>),
}

/// What all requests have in common.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) deadline: Option<Duration>,
    pub(crate) stall: Duration,
    pub(crate) tls: Tls,
}

impl Network {
    fn prove(settings: &mut Settings<'_>) -> Option<Self> {
        const DEADLINE: OrOff<Duration> = OrOff(Some(Duration::from_secs(3600)));
        let deadline = settings.or("deadline", DEADLINE);
        let stall = settings.or("stall-timeout", Duration::from_secs(30));
        let tls = Tls::prove(settings);
        Some(Self {
            deadline: deadline?.0,
            stall: stall?,
            tls: tls?,
        })
    }
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(settings: &mut Settings<'_>) -> Option<Self> {
        let verb = settings.verb();
        let progress = settings.or("progress", OrOff(Some(Duration::from_secs(5))));
        let network = Network::prove(settings);
        let task = match verb {
            Some("verify") => Self::verify(settings).map(Task::Verify),
            Some("wait") => Self::conditions(settings).map(Task::Wait),
            Some("cp") => cp::prove(settings).map(|step| Task::Copy(vec![step])),
            Some("plan") => Self::steps(settings).map(Task::Plan),
            _ => Self::steps(settings).map(Task::Copy),
        };
        Some(Self {
            task: task?,
            network: network?,
            progress: progress?.0,
        })
    }

    fn steps(settings: &mut Settings<'_>) -> Option<Vec<Step>> {
        let sections = settings.sections("steps")?;
        if sections.is_empty() {
            return Step::prove(settings, None).map(|step| vec![step]);
        }
        for flag in Step::flags().iter().map(Flag::name).chain([PATHS]) {
            settings.pointless(flag, "with steps in the file, it is said in each of them");
        }
        let mut steps = Vec::new();
        for (name, mut section) in sections {
            let step = Step::prove(&mut section, Some(&name));
            section.finish(step.is_some());
            steps.push(step);
        }
        // All of them first: one run shows every mistake.
        steps.into_iter().collect()
    }

    fn verify(settings: &mut Settings<'_>) -> Option<Verify> {
        let dest = settings.values::<PathBuf>(DEST);
        let full = settings.or("full", false);
        let receipt = settings.or("receipt", Keeping::Inside);
        match dest?.as_slice() {
            [dest] => Some(Verify {
                dest: dest.clone(),
                receipt: receipt?,
                full: full?,
            }),
            _ => settings.refuse("give one DEST: init-copy verify DEST"),
        }
    }

    fn conditions(settings: &mut Settings<'_>) -> Option<Vec<Condition>> {
        let conditions = settings.values::<Condition>(CONDITIONS)?;
        if conditions.is_empty() {
            return settings.refuse("give at least one condition: init-copy wait tcp://HOST:PORT");
        }
        Some(conditions)
    }
}
