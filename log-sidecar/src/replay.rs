//! `replay`: what is in the dead-letter file is sent again.
//!
//! The file is taken away under another name first, so that a sidecar that goes on beside it starts a new one; that name goes when all
//! of it is settled. What is refused again is in the new file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use humantime::parse_rfc3339;
use pod_contract::run::lifecycle::CancellationToken;
use pod_contract::start::exit::Failure;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::batch::{Batch, Line, Segment, Source};
use crate::config;
use crate::deliver::{AllRefused, Entry, path_in};
use crate::identity::Inode;
use crate::ledger::{Ledger, Ledgers};
use crate::parse::millis;
use crate::pipeline::{both, outcome};
use crate::route::new_delivery;
use crate::state;

const TAKEN: &str = "dead-letter.replay.ndjson";
const UNREADABLE: &str = "dead-letter.unreadable";
/// How often, and at what distance, to try to take the file away.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes and records of one batch, about.
const MAX_BYTES: usize = 1 << 20;
const MAX_RECORDS: usize = 4096;

/// Sends what each sink has rejected, to all of them at once.
pub(crate) async fn send_all_again(
    routes: Vec<config::Route>,
    state: PathBuf,
    ledgers: &Ledgers,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let own = ledgers.of(routes.iter().map(|route| route.name.as_ref()));
    ledgers.keep(&own);
    let mut sending = JoinSet::new();
    let mut result = Ok(());
    for (route, ledger) in routes.into_iter().zip(own) {
        if route.name.is_some() {
            refuse_common(&state)?;
        }
        let span = route.span();
        let sent = send_again(route.delivery, route.state.unwrap_or_default(), ledger, stop.clone());
        sending.spawn_local(sent.instrument(span));
    }
    while let Some(sent) = sending.join_next().await {
        result = both(result, outcome(sent, "sending again"));
    }
    result
}

/// Those of a run without named sinks.
fn refuse_common(state: &Path) -> Result<(), Failure> {
    let Some(file) = state::dead_letters(state).unwrap_or_default().pop() else {
        return Ok(());
    };
    let failure = Failure::failed(format!("{} has rejected records that no sink has yet", file.display()));
    Err(failure.remedy("start log-sidecar with the named sinks once: the first takes them over"))
}

/// Sends all of it once, and says what became of it.
async fn send_again(
    config: config::Delivery,
    state: PathBuf,
    ledger: Ledger,
    stop: CancellationToken,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Failure::failed(format!("stopped: {}", ledger.summary()))
            .remedy("run it again: what was taken before is there once where the sink knows records by their ids, or else twice")),
        done = send_files(&config, &state, &ledger) => {
            done.map_err(|error| {
                let path = path_in(&state);
                Failure::failed(format!("cannot send what is in {} again: {error}", path.display()))
            })?;
            conclude(&state, &ledger)
        }
    }
}

/// The rest of a replay that was ended, and then what was rejected before this one.
async fn send_files(config: &config::Delivery, state: &Path, ledger: &Ledger) -> io::Result<()> {
    let files = if state.join(TAKEN).try_exists()? { 2 } else { 1 };
    for _ in 0..files {
        if let Some(taken) = take(state).await? {
            send(config, state, &taken, ledger).await?;
            if ledger.lost.get() > 0 {
                break;
            }
            fs::remove_file(state.join(TAKEN))?;
        }
    }
    Ok(())
}

fn conclude(state: &Path, ledger: &Ledger) -> Result<(), Failure> {
    let sink = ledger.prefix();
    if ledger.read.get() == 0 && !state.join(UNREADABLE).exists() {
        tracing::info!("{sink}nothing was rejected");
        return Ok(());
    }
    let summary = format!("{sink}sent again {}, taken {}", ledger.read.get(), ledger.acked.get());
    if ledger.lost.get() > 0 {
        let failure = Failure::failed(format!(
            "{summary}; not all that was refused again has room in the dead-letter file"
        ));
        return Err(failure.remedy("raise --dead-letter-max, and run it again"));
    }
    if ledger.rejected.get() > 0 {
        let failure = Failure::failed(format!("{summary}, refused again {}", ledger.rejected.get()));
        return Err(
            failure.remedy("the dead-letter file has them with what the sink says; mend that, and run it again")
        );
    }
    if state.join(UNREADABLE).exists() {
        let failure = Failure::failed(format!(
            "{summary}; there are lines in {UNREADABLE} that are no records"
        ));
        return Err(failure.remedy("look at them, and remove the file"));
    }
    tracing::info!("{summary}");
    Ok(())
}

/// The file, locked: the rest of a replay that was ended, or what has been rejected since. Whoever adds to it holds the lock for a
/// moment, and looks at the name afterwards.
async fn take(state: &Path) -> io::Result<Option<File>> {
    let (taken, current) = (state.join(TAKEN), path_in(state));
    for _ in 0..TRIES {
        let is_rest = taken.try_exists()?;
        let file = match File::open(if is_rest { &taken } else { &current }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => tokio::time::sleep(PAUSE).await,
            locked => {
                locked?;
                if !is_rest {
                    fs::rename(&current, &taken)?;
                }
                return Ok(Some(file));
            }
        }
    }
    Err(io::Error::other(
        "another process holds it; is another replay under way?",
    ))
}

async fn send(config: &config::Delivery, state: &Path, taken: &File, ledger: &Ledger) -> io::Result<()> {
    let mut config = config.clone();
    // The sidecar has seen the sink take others.
    config.all_refused = AllRefused::Reject;
    let delivery = new_delivery(&config, Some(state), ledger);
    let mut lines = BufReader::new(taken);
    let (mut text, mut segments, mut bytes, mut number) = (Vec::new(), Vec::new(), 0, 0_u64);
    loop {
        text.clear();
        let is_end = lines.read_until(b'\n', &mut text)? == 0;
        number += 1;
        let entry = match read(&text) {
            _ if is_end => None,
            Ok(entry) => Some(entry),
            // Half a line was not settled when its run was killed, and has been sent again.
            Err(_) if !text.ends_with(b"\n") => None,
            Err(error) => {
                tracing::error!(line = number, %error, file = UNREADABLE, "a line is no record: put aside");
                put_aside(state, &text)?;
                None
            }
        };
        if is_end || bytes > MAX_BYTES || segments.len() >= MAX_RECORDS {
            let segments = std::mem::take(&mut segments);
            let batch = Batch::new(segments, SystemTime::now());
            ledger.read.inc_by(batch.segments.len() as u64);
            delivery.deliver(&batch, &|_| ()).await;
            bytes = 0;
        }
        if is_end {
            return Ok(());
        }
        if let Some(segment) = entry {
            bytes += segment.bytes();
            segments.push(segment);
        }
    }
}

/// Nothing of the file is lost, whoever wrote it.
fn put_aside(state: &Path, line: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .mode(0o640)
        .open(state.join(UNREADABLE))?;
    file.write_all(line)?;
    file.sync_data()
}

/// The record of a line.
fn read(line: &[u8]) -> serde_json::Result<Segment> {
    let entry: Entry<'_> = serde_json::from_slice(line)?;
    let bytes = entry.bytes.and_then(|bytes| STANDARD.decode(&*bytes).ok());
    let data = bytes.unwrap_or_else(|| entry.message.into_owned().into_bytes());
    let lines = vec![Line::new(0, data.len(), entry.mark)];
    // The id of the file stands before offset and checksum.
    let id = entry.id.rsplitn(3, '-').last().unwrap_or_default().to_owned();
    let source = Arc::new(Source {
        id,
        path: entry.path.into_owned(),
        inode: Inode::default(),
    });
    Ok(Segment {
        source,
        start: entry.offset,
        end: entry.offset + data.len() as u64,
        base: entry.offset,
        data: data.into(),
        lines,
        // By a replay that was ended.
        may_be_known: true,
        times: vec![parse_rfc3339(&entry.at).ok().map(millis)],
        ticks: Vec::new(),
    })
}
