//! The proved configuration; each part takes its own struct.

mod delivery;
mod effect;
mod encoding;
mod flags;
mod own_files;
mod reading;
mod shaping;
mod sinks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pod_contract::config::Settings;
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::{admin, aws, tls};

pub(crate) use self::delivery::Delivery;
use self::effect::OF_THE_NETWORK;
pub(crate) use self::flags::{AFTER_HELP, SECTIONS, VERBS, flags};
pub(crate) use self::reading::Reading;
use self::reading::Wanted;
use self::sinks::Common;
use crate::ending::ExitWhen;
use crate::parse::Shape;
use crate::sink::Target;

const ADMIN_PORT: u16 = 9601;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What to do.
#[derive(Debug)]
pub struct Config {
    pub(crate) task: Task,
    pub(crate) state: Option<PathBuf>,
    pub(crate) grace: Duration,
}

#[derive(Debug)]
pub(crate) enum Task {
    Ship(Shipping, Vec<Route>),
    Replay(Vec<Route>),
    /// Ask whether the sinks are there.
    Greet(Vec<Route>),
    /// How far each file is.
    Status,
    /// What would be sent of standard input.
    Try(Box<Reading>, Shape),
}

/// Where to tell of what is done, and until when to do it.
#[derive(Debug)]
pub(crate) struct Shipping {
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) exit_when: Option<ExitWhen>,
}

/// One sink, and what is read for it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// None of the only one, without a name.
    pub(crate) name: Option<Arc<str>>,
    /// Where its positions and its rejected records are kept.
    pub(crate) state: Option<PathBuf>,
    pub(crate) reading: Reading,
    pub(crate) delivery: Delivery,
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let verb = s.verb().map(str::to_owned);
        if verb.as_deref() == Some("try") {
            return Self::prove_trial(s);
        }
        if verb.as_deref() == Some("status") {
            return Self::prove_status(s);
        }
        let is_replay = verb.as_deref() == Some("replay");
        let state = s.optional::<PathBuf>("state");
        let grace = s.or("grace", DEFAULT_GRACE);
        let admin = admin::prove(s, ADMIN_PORT);
        let exit_when = s.optional::<ExitWhen>("exit-when");
        let chosen = s.optional::<String>("sink")?;
        let common = Common {
            state: state.clone().flatten(),
            grace: grace.unwrap_or_default(),
            is_replay,
            ends_with_writers: exit_when == Some(Some(ExitWhen::WritersGone)),
        };
        let routes = Route::prove_all(s, &common, chosen.as_deref());
        let (state, grace) = (state?, grace?);
        if is_replay && state.is_none() {
            return s.refuse("state is missing: the directory with the dead-letter file");
        }
        let (routes, admin, exit_when) = (routes?, admin?, exit_when?);
        Some(Self {
            task: match verb.as_deref() {
                Some("replay") => Task::Replay(routes),
                Some("check") => Task::Greet(routes),
                _ => Task::Ship(Shipping { admin, exit_when }, routes),
            },
            state,
            grace,
        })
    }

    fn prove_status(s: &mut Settings<'_>) -> Option<Self> {
        let state = s.required::<PathBuf>("state");
        // What the sidecar has stands in the same file and environment.
        let own = flags().into_iter().map(|flag| flag.name().to_owned());
        let sections = SECTIONS.iter().map(|section| section.name.to_owned());
        own.chain(sections)
            .filter(|name| name != "state")
            .for_each(|name| s.disregard(&name));
        Some(Self {
            task: Task::Status,
            state: Some(state?),
            grace: DEFAULT_GRACE,
        })
    }

    fn prove_trial(s: &mut Settings<'_>) -> Option<Self> {
        for flag in flags::process_flags() {
            s.disregard(flag.name());
        }
        let chosen = s.optional::<String>("sink")?;
        let mut sections = sinks::sections(s, chosen.as_deref())?;
        if sections.len() > 1 {
            return s.refuse("there are several sinks: say by --sink which one");
        }
        match sections.pop() {
            None => Self::prove_trial_of(s),
            Some((_, mut section)) => {
                let proved = Self::prove_trial_of(&mut section);
                section.finish(proved.is_some());
                proved
            }
        }
    }

    fn prove_trial_of(s: &mut Settings<'_>) -> Option<Self> {
        let target = s.optional::<Target>("to")?;
        let shape = shaping::prove(s);
        // They stand in the same file and environment, and make no difference here.
        for name in OF_THE_NETWORK
            .iter()
            .chain(&aws::SETTINGS)
            .chain(&tls::NAMES)
            .chain(&["retry-max", "label"])
        {
            s.disregard(name);
        }
        let wanted = Wanted::of(target.as_ref(), shape.as_ref());
        let reading = Reading::prove(s, None, DEFAULT_GRACE, true, wanted);
        Some(Self {
            task: Task::Try(Box::new(reading?), shape?),
            state: None,
            grace: DEFAULT_GRACE,
        })
    }
}
