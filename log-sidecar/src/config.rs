//! Flags and the proved configuration; each part takes its own struct.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pod_contract::admin;
use pod_contract::config::{Flag, Setting as _, Settings, list, setting};
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::units::Bytes;

use crate::discover::{Pattern, Patterns};
use crate::sink::Target;

pub(crate) const ADMIN_PORT: u16 = 9601;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

pub(crate) const AFTER_HELP: &str = "\
Sinks: elasticsearch+http://HOST:PORT/INDEX and stdout (one JSON object a line).
Without --state, positions are lost when the container restarts. Put it on a volume, such as the one that holds the logs.
POD_NAME, POD_NAMESPACE, POD_UID and NODE_NAME (from the downward API) are added to every record where set.

Example:
  log-sidecar --include '/logs/*.log' --to elasticsearch+http://127.0.0.1:9200/app --state /state

Exit codes: 0 stopped with everything delivered, 1 failed or stopped with a backlog, 2 bad flags";

pub(crate) fn flags() -> Vec<Flag> {
    vec![
        list::<Pattern>(
            "include",
            "GLOB",
            "Files to read: absolute, with *, ?, [a-z], {a,b} (in quotes) and ** for any depth; repeat the flag for more",
        ),
        list::<Pattern>("exclude", "GLOB", "Files to leave out; repeat the flag for more"),
        setting::<Target>("to", "SINK", "Where records go, by scheme"),
        setting::<PathBuf>("state", "DIR", "Where positions and rejected records are kept"),
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
        setting::<Duration>(
            "poll",
            "DURATION",
            "Directories are compared so often, whatever notify says [default: 1s]",
        ),
        setting::<Duration>(
            "drain-quiet",
            "DURATION",
            "On stop, read until no file grew for so long [default: 1s]",
        ),
        setting::<Duration>("grace", "DURATION", "On stop, give up after [default: 10s]"),
        admin::flag("Where /healthz, /readyz and /metrics listen, or off [default: 0.0.0.0:9601]"),
    ]
}

/// What to read, where to ship it, and how much at a time.
#[derive(Debug)]
pub struct Config {
    pub(crate) reading: Reading,
    pub(crate) delivery: Delivery,
    pub(crate) state: Option<PathBuf>,
    pub(crate) grace: Duration,
    pub(crate) admin: Option<SocketAddr>,
}

/// For the reader thread.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) patterns: Patterns,
    pub(crate) max_record: usize,
    pub(crate) batch_size: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) in_flight: usize,
    pub(crate) poll: Duration,
    pub(crate) drain_quiet: Duration,
    /// A writer that never rests is cut off after so long: what is read has to be delivered within the grace as well.
    pub(crate) drain_limit: Duration,
}

/// For the network side.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) target: Target,
    pub(crate) request_timeout: Duration,
    pub(crate) retry_max: Duration,
    pub(crate) dead_letter_max: u64,
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let include = s.values::<Pattern>("include");
        let exclude = s.values::<Pattern>("exclude");
        let target = s.required::<Target>("to");
        let state = s.optional::<PathBuf>("state");
        let max_record = s.or("max-record", Bytes(256 * KIB));
        let batch_size = s.or("batch-size", Bytes(MIB));
        let flush_interval = s.or("flush-interval", Duration::from_millis(200));
        let in_flight = s.or("in-flight", Bytes(8 * MIB));
        let request_timeout = s.or("request-timeout", Duration::from_secs(30));
        let retry_max = s.or("retry-max", Duration::from_secs(30));
        let dead_letter_max = s.or("dead-letter-max", Bytes(16 * MIB));
        let poll = s.or("poll", Duration::from_secs(1));
        let drain_quiet = s.or("drain-quiet", Duration::from_secs(1));
        let grace = s.or("grace", DEFAULT_GRACE);
        let admin = admin::prove(s, ADMIN_PORT);

        let include = include?;
        if include.is_empty() {
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
        let (poll, grace, state) = (poll?, grace?, state?);
        let (request_timeout, retry_max) = (request_timeout?, retry_max?);
        if request_timeout.is_zero() || retry_max.is_zero() {
            return s.refuse_together(
                &["request-timeout", "retry-max"],
                "request-timeout and retry-max must not be 0s",
            );
        }
        if poll < Duration::from_millis(10) {
            return s.refuse_together(&["poll"], "poll has to be at least 10ms");
        }
        let reading = Reading {
            patterns: Patterns::new(include, exclude?, state.clone()),
            max_record: max_record.as_usize(),
            batch_size: batch_size.as_usize(),
            flush_interval: flush_interval?,
            in_flight: in_flight.as_usize(),
            poll,
            drain_quiet: drain_quiet?,
            drain_limit: grace * 3 / 4,
        };
        let target = target?;
        if target == Target::Stdout {
            refuse_for_stdout(s);
        }
        let delivery = Delivery {
            target,
            request_timeout,
            retry_max,
            dead_letter_max: dead_letter_max?.0,
        };
        Some(Self {
            reading,
            delivery,
            state,
            grace,
            admin: admin?,
        })
    }
}

fn refuse_for_stdout(s: &mut Settings<'_>) {
    s.pointless("request-timeout", "stdout answers at once");
    s.pointless("dead-letter-max", "stdout refuses nothing");
}
