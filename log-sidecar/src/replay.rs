//! `replay`: what is in the dead-letter file is sent again.
//!
//! The file is taken away under another name first, so that a sidecar that goes on beside it starts a new one; that name goes when all
//! of it is settled. What is refused again is in the new file.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use humantime::parse_rfc3339;
use pod_contract::run::lifecycle;
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::batch::{Batch, Line, Segment, Source};
use crate::config;
use crate::deliver::{AllRefused, Entry, path_in};
use crate::ledger::Ledger;
use crate::pipeline::new_delivery;

const TAKEN: &str = "dead-letter.replay.ndjson";
/// Bytes and records of one batch, about.
const MAX_BYTES: usize = 1 << 20;
const MAX_RECORDS: usize = 4096;

/// Sends all of it once, and says what became of it.
pub(crate) fn run(
    config: config::Delivery,
    state: Option<PathBuf>,
    grace: Duration,
    words: LastWords,
) -> Result<(), Failure> {
    let state = state.unwrap_or_default();
    let ledger = Ledger::default();
    let left = ledger.clone();
    lifecycle::run(
        grace,
        &words,
        move || left.summary(),
        async |stop| {
            let failed = |error: io::Error| {
                Failure::failed(format!(
                    "cannot send what is in {} again: {error}",
                    path_in(&state).display()
                ))
            };
            let Some(taken) = take(&state).map_err(failed)? else {
                tracing::info!("nothing was rejected");
                return Ok(());
            };
            tokio::select! {
                () = stop.cancelled() => return Err(Failure::failed(format!("stopped: {}", ledger.summary()))
                    .remedy("run it again: what was taken is known to the sink")),
                sent = send(config, &state, &taken, &ledger) => sent.map_err(failed)?,
            }
            conclude(&state, &ledger)
        },
    )
}

fn conclude(state: &Path, ledger: &Ledger) -> Result<(), Failure> {
    let summary = format!("sent again {}, taken {}", ledger.read.get(), ledger.acked.get());
    if ledger.lost.get() > 0 {
        return Err(Failure::failed(format!(
            "{summary}; not all that was refused again has room in the dead-letter file"
        ))
        .remedy("raise --dead-letter-max, and run it again"));
    }
    fs::remove_file(state.join(TAKEN)).map_err(|error| Failure::failed(format!("cannot remove {TAKEN}: {error}")))?;
    match ledger.rejected.get() {
        0 => {
            tracing::info!("{summary}");
            Ok(())
        }
        refused => Err(Failure::failed(format!("{summary}, refused again {refused}"))
            .remedy("the dead-letter file has them with what the sink says; mend that, and run it again")),
    }
}

/// The file, locked: the rest of a replay that was ended, or what has been rejected since.
fn take(state: &Path) -> io::Result<Option<File>> {
    let taken = state.join(TAKEN);
    if !taken.try_exists()? {
        let current = path_in(state);
        let file = match File::open(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        // Whoever adds to it holds the lock, and looks at the name afterwards.
        flock(&file, FlockOperation::LockExclusive)?;
        fs::rename(&current, &taken)?;
    }
    let file = File::open(&taken)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::other("another replay is under way")),
        other => other.map(|()| Some(file)).map_err(io::Error::from),
    }
}

async fn send(mut config: config::Delivery, state: &Path, taken: &File, ledger: &Ledger) -> io::Result<()> {
    // The sidecar has seen the sink take others.
    config.all_refused = AllRefused::Reject;
    let delivery = new_delivery(&config, Some(state), ledger);
    let mut lines = BufReader::new(taken);
    let (mut text, mut segments, mut bytes, mut number) = (Vec::new(), Vec::new(), 0, 0_u64);
    let mut at = SystemTime::now();
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
                return Err(io::Error::other(format!(
                    "line {number} of {TAKEN} is no record: {error}"
                )));
            }
        };
        let is_other = entry.as_ref().is_some_and(|(_, read_at)| *read_at != at);
        if is_end || is_other || bytes > MAX_BYTES || segments.len() >= MAX_RECORDS {
            let segments = std::mem::take(&mut segments);
            let batch = Batch { segments, read_at: at };
            ledger.read.inc_by(batch.segments.len() as u64);
            delivery.deliver(&batch).await;
            bytes = 0;
        }
        if is_end {
            return Ok(());
        }
        if let Some((segment, read_at)) = entry {
            bytes += segment.bytes();
            segments.push(segment);
            at = read_at;
        }
    }
}

/// The record of a line, and when it was read first.
fn read(line: &[u8]) -> serde_json::Result<(Segment, SystemTime)> {
    let entry: Entry<'_> = serde_json::from_slice(line)?;
    let data = entry.message.into_owned().into_bytes();
    let lines = vec![Line::new(0, data.len(), entry.mark)];
    // The id of the file stands before offset and checksum.
    let id = entry.id.rsplitn(3, '-').last().unwrap_or_default().to_owned();
    let source = Arc::new(Source {
        id,
        path: entry.path.into_owned(),
    });
    let segment = Segment {
        source,
        start: entry.offset,
        end: entry.offset + data.len() as u64,
        base: entry.offset,
        data: data.into(),
        lines,
    };
    Ok((segment, parse_rfc3339(&entry.at).unwrap_or_else(|_| SystemTime::now())))
}
