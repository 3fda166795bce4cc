//! What to read, and how.

use std::path::PathBuf;
use std::time::Duration;

use pod_contract::config::{Setting as _, Settings};
use pod_contract::units::Bytes;

use super::encoding::Encoding;
use super::{KIB, MIB};
use crate::clock::Times;
use crate::discover::{Pattern, Patterns};
use crate::parse::{Expression, Shape, Timestamp, Zone};
use crate::reader::{Framing, Join, Start};
use crate::sink::Target;
use crate::transform::{Redact, Sample, Transform};

/// For the reader thread.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) patterns: Patterns,
    pub(crate) start: Start,
    pub(crate) ignore_older: Option<Duration>,
    pub(crate) times: Times,
    pub(crate) framing: Framing,
    pub(crate) transform: Transform,
    pub(crate) batches: Batches,
    /// Bytes a second, at most.
    pub(crate) rate: Option<u64>,
    pub(crate) poll: Duration,
    pub(crate) hold_deleted: Duration,
    pub(crate) hold_deleted_max: u64,
    pub(crate) drain_quiet: Duration,
    /// It is told when nobody is left who could write.
    pub(crate) ends_with_writers: bool,
    /// Not ready while a file is behind for longer.
    pub(crate) ready_lag: Option<Duration>,
    /// A writer that never rests is cut off after so long: what is read has to be delivered within the grace as well.
    pub(crate) drain_limit: Duration,
}

/// How much goes out at once, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    /// For a sink that keeps what is sent at once as one object: lines stay in their files for so long, or until a batch is full, and after
    /// a crash, the same ones go together again.
    pub(crate) collect: Option<Duration>,
    /// Of one, about.
    pub(crate) bytes: usize,
    pub(crate) records: usize,
    /// None: as soon as the sink has nothing else to do.
    pub(crate) flush_interval: Option<Duration>,
    /// Bytes of all of them, at most.
    pub(crate) in_flight: usize,
}

/// Each record costs some 200 bytes of request and answer beside its text.
const USUAL_RECORDS: usize = 4096;
/// And of request alone.
const OBJECT_RECORDS: usize = 1 << 15;
/// How long lines wait to be one object.
const USUAL_COLLECT: Duration = Duration::from_secs(60);

impl Reading {
    pub(super) fn prove(
        s: &mut Settings<'_>,
        state: Option<PathBuf>,
        grace: Duration,
        may_be_none: bool,
        wanted: Wanted,
    ) -> Option<Self> {
        let include = s.values::<Pattern>("include");
        let exclude = s.values::<Pattern>("exclude");
        let rotated = s.values::<Pattern>("rotated");
        let start = s.or("start", Start::Checkpoint);
        let ignore_older = s.optional::<Duration>("ignore-older");
        let zone = prove_zone(s, wanted);
        let encoding = s.optional::<Encoding>("encoding");
        let framing = prove_framing(s, encoding.flatten(), wanted);
        let transform = prove_transform(s, encoding.flatten());
        let rate = s.optional::<Bytes>("rate");
        let batches = prove_batches(s, framing.as_ref(), wanted);
        let poll = s.or("poll", Duration::from_secs(1));
        let hold_deleted = s.or("hold-deleted", Duration::from_secs(600));
        let hold_deleted_max = s.or("hold-deleted-max", Bytes(64 * MIB));
        let drain_quiet = s.or("drain-quiet", Duration::from_secs(1));
        let ready_lag = s.optional::<Duration>("ready-lag");
        let include = include?;
        if include.is_empty() && !may_be_none {
            return s.refuse(format!("include is missing: {}", Pattern::FORM));
        }
        encoding?;
        let (framing, poll, rate, ready_lag) = (framing?, poll?, rate?, ready_lag?);
        if poll < Duration::from_millis(10) || rate == Some(Bytes(0)) {
            return s.refuse_together(&["poll", "rate"], "poll has to be at least 10ms, and rate at least 1B");
        }
        if ready_lag.is_some_and(|lag| lag < poll) {
            return s.refuse_together(
                &["ready-lag", "poll"],
                format!("ready-lag has to be at least poll ({poll:?}): so often it is looked how far files are behind"),
            );
        }
        let batches = batches?;
        if let (Some(lag), Some(collect)) = (ready_lag, batches.collect)
            && lag <= collect
        {
            return s.refuse_together(
                &["ready-lag", "flush-interval"],
                format!(
                    "ready-lag has to be more than flush-interval ({collect:?}): so long lines wait to be an object"
                ),
            );
        }
        Some(Self {
            patterns: Patterns::new(include, exclude?, rotated?, state),
            start: start?,
            ignore_older: ignore_older?,
            times: Times {
                zone: zone?,
                has_ticks: wanted.has_ticks,
            },
            transform: Transform {
                is_cri: framing.joins.contains(&Join::Cri),
                ..transform?
            },
            framing,
            batches,
            rate: rate.map(|rate| rate.0),
            poll,
            hold_deleted: hold_deleted?,
            hold_deleted_max: hold_deleted_max?.0,
            drain_quiet: drain_quiet?,
            ends_with_writers: false,
            ready_lag,
            drain_limit: drain_limit(grace),
        })
    }

    /// It has to end within this grace.
    pub(crate) fn within(&mut self, grace: Duration) {
        self.drain_limit = drain_limit(grace);
    }
}

fn drain_limit(grace: Duration) -> Duration {
    grace * 3 / 4
}

fn prove_batches(s: &mut Settings<'_>, framing: Option<&Framing>, wanted: Wanted) -> Option<Batches> {
    let (size, room) = if wanted.are_objects { (4, 8) } else { (1, 6) };
    let batch_size = s.or("batch-size", Bytes(size * MIB));
    let flush_interval = s.optional::<Duration>("flush-interval");
    let in_flight = s.or("in-flight", Bytes(room * MIB));
    let (batch_size, flush_interval, in_flight) = (batch_size?, flush_interval?, in_flight?);
    let max_record = Bytes(framing?.max_record as u64);
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
    let collect = wanted.are_objects.then(|| flush_interval.unwrap_or(USUAL_COLLECT));
    Some(Batches {
        collect,
        bytes: batch_size.as_usize(),
        records: if wanted.are_objects {
            OBJECT_RECORDS
        } else {
            USUAL_RECORDS
        },
        flush_interval,
        in_flight: in_flight.as_usize(),
    })
}

fn prove_framing(s: &mut Settings<'_>, encoding: Option<Encoding>, wanted: Wanted) -> Option<Framing> {
    let joins = s.list::<Join>("multiline");
    let join_wait = s.or("multiline-wait", Duration::from_secs(1));
    let max_record = s.or("max-record", Bytes(256 * KIB));
    let mut joins = joins?;
    if wanted.is_cri && !joins.contains(&Join::Cri) {
        joins.push(Join::Cri);
    }
    if joins.is_empty() {
        s.pointless("multiline-wait", "no lines are joined; give --multiline");
    }
    Some(Framing {
        joins,
        join_wait: join_wait?,
        max_record: max_record?.as_usize(),
        utf16: encoding.and_then(Encoding::utf16),
    })
}

/// All but what the framing says.
fn prove_transform(s: &mut Settings<'_>, encoding: Option<Encoding>) -> Option<Transform> {
    let (keep, drop) = (s.values::<Expression>("keep"), s.values::<Expression>("drop"));
    let (sample, redact) = (s.values::<Sample>("sample"), s.values::<Redact>("redact"));
    Some(Transform {
        is_cri: false,
        charset: encoding.and_then(Encoding::charset),
        keep: keep?,
        drop: drop?,
        sample: sample?,
        redact: redact?,
    })
}

/// What the sink and the fields want of lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// What a container runtime has cut is to be whole before it is read.
    is_cri: bool,
    /// What is sent at once is kept as one object.
    are_objects: bool,
    /// Their times decide where they go.
    is_dated: bool,
    /// Their times are what it knows them by.
    has_ticks: bool,
    /// Their times are wanted all the same.
    has_times: bool,
}

impl Wanted {
    pub(super) fn of(target: Option<&Target>, shape: Option<&Shape>) -> Self {
        Self {
            is_cri: shape.is_some_and(Shape::reads_cri),
            are_objects: target.is_some_and(Target::keeps_objects),
            is_dated: target.is_some_and(Target::is_dated),
            has_ticks: target.is_some_and(Target::knows_by_time),
            has_times: shape.is_some_and(Shape::reads)
                || target.is_some_and(|target| target.knows_by_time() || target.keeps_objects()),
        }
    }
}

/// Of which zone times of lines are; `Some(None)` if they are not wanted.
fn prove_zone(s: &mut Settings<'_>, wanted: Wanted) -> Option<Option<Zone>> {
    let usual = if wanted.is_dated || wanted.has_times {
        Timestamp::Line
    } else {
        Timestamp::Read
    };
    let timestamp = s.or("timestamp", usual);
    let zone = s.optional::<Zone>("time-zone");
    match timestamp? {
        Timestamp::Read if wanted.is_dated => s.refuse_together(
            &["timestamp", "to"],
            "an index by date takes the time of the line: by that of reading, what is sent again after midnight would be there twice",
        ),
        Timestamp::Read => {
            s.pointless("time-zone", "the times of lines are not looked at; give --timestamp line");
            Some(None)
        }
        Timestamp::Line => Some(Some(zone?.unwrap_or_default())),
    }
}
