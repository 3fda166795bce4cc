//! Flags and the proved configuration; each part takes its own struct.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pod_contract::admin;
use pod_contract::config::{Flag, Secret, Setting as _, Settings, list, setting};
use pod_contract::net::login::Login;
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::start::cli::Verb;
use pod_contract::tls::{self, Renewing, Tls, Trust};
use pod_contract::units::Bytes;

use crate::deliver::AllRefused;
use crate::discover::{Pattern, Patterns};
use crate::reader::Start;
use crate::sink::{Network, Target};

pub(crate) const ADMIN_PORT: u16 = 9601;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

pub(crate) const AFTER_HELP: &str = "\
Sinks: elasticsearch+https://HOST:PORT/INDEX (also opensearch, http, a path before INDEX, ?pipeline=NAME), and stdout (one JSON object a line).
Without --state, positions are lost when the container restarts. Put it on a volume, such as the one that holds the logs.
POD_NAME, POD_NAMESPACE, POD_UID and NODE_NAME (from the downward API) are added to every record where set.

Example:
  log-sidecar --include '/logs/*.log' --to elasticsearch+https://es.example:9200/app --api-key file:/secrets/key --state /state

Exit codes: 0 stopped with everything delivered or kept, 1 failed, stopped with a backlog, or records were lost, 2 bad flags";

pub(crate) const VERBS: &[Verb] = &[Verb {
    name: "replay",
    about: "Send what is in the dead-letter file again, with the settings of the sidecar, which may go on beside it",
    after_help: "What is refused again is kept again. Exit codes: 0 all was taken, 1 not all, 2 bad flags",
    flags,
    sections: &[],
    is_probe: false,
}];

pub(crate) fn flags() -> Vec<Flag> {
    let mut all = reading_flags();
    all.extend(delivery_flags());
    all.extend(tls::flags());
    all.push(admin::flag(
        "Where /healthz, /readyz and /metrics listen, or off [default: 0.0.0.0:9601]",
    ));
    all
}

fn reading_flags() -> Vec<Flag> {
    vec![
        list::<Pattern>(
            "include",
            "GLOB",
            "Files to read: absolute, with *, ?, [a-z], {a,b} (in quotes) and ** for any depth; repeat the flag for more",
        ),
        list::<Pattern>(
            "rotated",
            "GLOB",
            "Where rotation puts files, if neither beside them nor under their name with something added; repeat the flag for more",
        ),
        list::<Pattern>("exclude", "GLOB", "Files to leave out; repeat the flag for more"),
        setting::<Start>(
            "start",
            "WHERE",
            "checkpoint: where the last run ended, at a first start from the head; head: all of it again; tail: as checkpoint, but at a \
             first start only what comes [default: checkpoint]",
        ),
        setting::<Duration>(
            "ignore-older",
            "DURATION",
            "At a first start, what was not written to for so long is passed over, and told [default: 1h for rotated files, no limit for \
             the others]",
        ),
        setting::<Bytes>(
            "max-record",
            "SIZE",
            "A longer line is cut there and marked [default: 256KiB]",
        ),
        setting::<Bytes>(
            "batch-size",
            "SIZE",
            "Bytes of lines that go out at once [default: 1MiB]",
        ),
        setting::<Duration>(
            "flush-interval",
            "DURATION",
            "A line waits at most so long for company [default: 200ms]",
        ),
        setting::<Bytes>(
            "in-flight",
            "SIZE",
            "Bytes read and not yet acknowledged, at most [default: 8MiB]",
        ),
        setting::<Duration>(
            "poll",
            "DURATION",
            "Directories are compared so often, whatever notify says; up to every 10s where that takes long [default: 1s]",
        ),
        setting::<Duration>(
            "hold-deleted",
            "DURATION",
            "A file that is deleted or moved away is held until it has not grown for so long; at least 10s [default: 10m]",
        ),
        setting::<Bytes>(
            "hold-deleted-max",
            "SIZE",
            "Of more bytes of such files, the ones that rest longest are let go [default: 64MiB]",
        ),
        setting::<Duration>(
            "drain-quiet",
            "DURATION",
            "On stop, read until no file grew for so long [default: 1s]",
        ),
    ]
}

fn delivery_flags() -> Vec<Flag> {
    vec![
        setting::<Target>("to", "SINK", "Where records go, by scheme"),
        setting::<String>("username", "NAME", "For the sink, with --password"),
        setting::<Secret>("password", "SECRET", "Where the password is: env:NAME or file:PATH"),
        setting::<Secret>(
            "api-key",
            "SECRET",
            "Where an API key for the sink is, as id:key or encoded: env:NAME or file:PATH",
        ),
        setting::<Secret>(
            "bearer",
            "SECRET",
            "Where a token for the sink is: env:NAME or file:PATH",
        ),
        setting::<PathBuf>("state", "DIR", "Where positions and rejected records are kept"),
        setting::<Duration>(
            "request-timeout",
            "DURATION",
            "The sink is given so long to answer [default: 30s]",
        ),
        setting::<Duration>(
            "retry-max",
            "DURATION",
            "Longest pause between tries; tries never end [default: 30s]",
        ),
        setting::<Bytes>(
            "dead-letter-max",
            "SIZE",
            "Size of the file of rejected records [default: 16MiB]",
        ),
        list::<String>(
            "hold",
            "TYPE",
            "A type of the sink's errors that a person mends, beside the known ones: such records wait; repeat the flag for more",
        ),
        setting::<AllRefused>(
            "all-refused",
            "WHAT",
            "A batch of which every record is refused waits until the sink takes others (hold), or is kept as rejected at once (reject) \
             [default: hold]",
        ),
        setting::<Duration>("grace", "DURATION", "On stop, give up after [default: 10s]"),
    ]
}

/// What to do.
#[derive(Debug)]
pub struct Config {
    pub(crate) task: Task,
    pub(crate) delivery: Delivery,
    pub(crate) state: Option<PathBuf>,
    pub(crate) grace: Duration,
}

#[derive(Debug)]
pub(crate) enum Task {
    Ship(Box<Shipping>),
    Replay,
}

/// What to read, and where to tell of it.
#[derive(Debug)]
pub(crate) struct Shipping {
    pub(crate) reading: Reading,
    pub(crate) admin: Option<SocketAddr>,
}

/// For the reader thread.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) patterns: Patterns,
    pub(crate) start: Start,
    pub(crate) ignore_older: Option<Duration>,
    pub(crate) max_record: usize,
    pub(crate) batch_size: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) in_flight: usize,
    pub(crate) poll: Duration,
    pub(crate) hold_deleted: Duration,
    pub(crate) hold_deleted_max: u64,
    pub(crate) drain_quiet: Duration,
    /// A writer that never rests is cut off after so long: what is read has to be delivered within the grace as well.
    pub(crate) drain_limit: Duration,
}

/// For the network side.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) target: Target,
    pub(crate) network: Network,
    pub(crate) is_insecure: bool,
    pub(crate) retry_max: Duration,
    pub(crate) dead_letter_max: u64,
    pub(crate) all_refused: AllRefused,
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let is_replay = s.verb() == Some("replay");
        let state = s.optional::<PathBuf>("state");
        let grace = s.or("grace", DEFAULT_GRACE);
        let delivery = Delivery::prove(s);
        let admin = admin::prove(s, ADMIN_PORT);
        let reading = Reading::prove(s, state.clone().flatten(), grace.unwrap_or_default(), is_replay);
        let (state, grace) = (state?, grace?);
        if is_replay && state.is_none() {
            return s.refuse("state is missing: the directory with the dead-letter file");
        }
        let (reading, admin) = (reading?, admin?);
        Some(Self {
            task: if is_replay {
                Task::Replay
            } else {
                Task::Ship(Box::new(Shipping { reading, admin }))
            },
            delivery: delivery?,
            state,
            grace,
        })
    }
}

impl Reading {
    fn prove(s: &mut Settings<'_>, state: Option<PathBuf>, grace: Duration, may_be_none: bool) -> Option<Self> {
        let include = s.values::<Pattern>("include");
        let exclude = s.values::<Pattern>("exclude");
        let rotated = s.values::<Pattern>("rotated");
        let start = s.or("start", Start::Checkpoint);
        let ignore_older = s.optional::<Duration>("ignore-older");
        let max_record = s.or("max-record", Bytes(256 * KIB));
        let batch_size = s.or("batch-size", Bytes(MIB));
        let flush_interval = s.or("flush-interval", Duration::from_millis(200));
        let in_flight = s.or("in-flight", Bytes(8 * MIB));
        let poll = s.or("poll", Duration::from_secs(1));
        let hold_deleted = s.or("hold-deleted", Duration::from_secs(600));
        let hold_deleted_max = s.or("hold-deleted-max", Bytes(64 * MIB));
        let drain_quiet = s.or("drain-quiet", Duration::from_secs(1));
        let include = include?;
        if include.is_empty() && !may_be_none {
            return s.refuse(format!("include is missing: {}", Pattern::FORM));
        }
        let (max_record, batch_size, in_flight) = (max_record?, batch_size?, in_flight?);
        if max_record.0 == 0 || batch_size.0 == 0 {
            return s.refuse_together(
                &["max-record", "batch-size"],
                "max-record and batch-size must not be 0B",
            );
        }
        if in_flight < Bytes(max_record.0.max(batch_size.0).saturating_mul(2)) {
            return s.refuse_together(
                &["in-flight", "max-record", "batch-size"],
                format!("in-flight ({in_flight}) has to be at least twice max-record ({max_record}) and batch-size ({batch_size})"),
            );
        }
        let poll = poll?;
        if poll < Duration::from_millis(10) {
            return s.refuse_together(&["poll"], "poll has to be at least 10ms");
        }
        Some(Self {
            patterns: Patterns::new(include, exclude?, rotated?, state),
            start: start?,
            ignore_older: ignore_older?,
            max_record: max_record.as_usize(),
            batch_size: batch_size.as_usize(),
            flush_interval: flush_interval?,
            in_flight: in_flight.as_usize(),
            poll,
            hold_deleted: hold_deleted?,
            hold_deleted_max: hold_deleted_max?.0,
            drain_quiet: drain_quiet?,
            drain_limit: grace * 3 / 4,
        })
    }
}

impl Delivery {
    fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let target = s.required::<Target>("to");
        let login = Login::prove(s, &[("api-key", "ApiKey"), ("bearer", "Bearer")]);
        let tls = Tls::prove(s);
        let timeout = s.or("request-timeout", Duration::from_secs(30));
        let retry_max = s.or("retry-max", Duration::from_secs(30));
        let dead_letter_max = s.or("dead-letter-max", Bytes(16 * MIB));
        let hold = s.list::<String>("hold");
        let all_refused = s.or("all-refused", AllRefused::Hold);
        let (timeout, retry_max, target) = (timeout?, retry_max?, target?);
        if timeout.is_zero() || retry_max.is_zero() {
            return s.refuse_together(
                &["request-timeout", "retry-max"],
                "request-timeout and retry-max must not be 0s",
            );
        }
        refuse_without_effect(s, &target);
        let (login, tls) = (login?, tls?);
        let is_encrypted = matches!(&target, Target::Elasticsearch(cluster) if cluster.is_encrypted);
        let certificates = match is_encrypted.then(|| Renewing::new(tls.clone(), &["http/1.1"])) {
            Some(Err(failure)) => return s.refuse(failure.to_string()),
            Some(Ok(renewing)) => Some(Arc::new(renewing)),
            None => None,
        };
        Some(Self {
            target,
            network: Network {
                login,
                tls: certificates,
                timeout,
                hold: hold?,
            },
            is_insecure: is_encrypted && tls.trust == Trust::Anybody,
            retry_max,
            dead_letter_max: dead_letter_max?.0,
            all_refused: all_refused?,
        })
    }
}

const OF_TLS: [&str; 4] = ["ca", "client-certificate", "client-key", "tls-insecure"];
const OF_THE_NETWORK: [&str; 8] = [
    "username",
    "password",
    "api-key",
    "bearer",
    "request-timeout",
    "dead-letter-max",
    "hold",
    "all-refused",
];

fn refuse_without_effect(s: &mut Settings<'_>, target: &Target) {
    match target {
        Target::Stdout => {
            let of_network = OF_THE_NETWORK.iter().chain(&OF_TLS);
            of_network.for_each(|name| s.pointless(name, "stdout answers at once and refuses nothing"));
        }
        Target::Elasticsearch(cluster) if !cluster.is_encrypted => {
            OF_TLS
                .iter()
                .for_each(|name| s.pointless(name, "the sink is http, not https"));
        }
        Target::Elasticsearch(_) => {}
    }
}
