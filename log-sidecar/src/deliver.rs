//! The one retry engine: sends a batch until every record is delivered or rejected, and never gives up on one in between.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use pod_contract::run::backoff::Backoff;
use serde_json::json;

use crate::batch::{Batch, Record};
use crate::ledger::Ledger;
use crate::sink::{Answer, Sink, Verdict};

/// The first pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Delivers batches to one sink.
pub(crate) struct Delivery {
    pub(crate) sink: Sink,
    pub(crate) ledger: Ledger,
    /// One file for all workers.
    pub(crate) dead_letter: Rc<RefCell<DeadLetter>>,
    /// Requests of which the sink took something, by all workers.
    pub(crate) accepted: Rc<Cell<u64>>,
    pub(crate) retry_max: Duration,
}

impl Delivery {
    /// Returns when every record of the batch is settled.
    pub(crate) async fn deliver(&mut self, batch: &Batch) {
        // Parts still to send; a part that the sink calls too large is split.
        let mut parts: Vec<Vec<Record<'_>>> = vec![batch.records().collect()];
        let mut pause = Pause::new(self.retry_max);
        // A refusal of a whole request is the fault of its records only if the sink takes others.
        let before = self.accepted.get();
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.sink.send(&part, batch.read_at).await {
                Answer::Each(verdicts) => {
                    let delivered = verdicts.iter().filter(|v| **v == Verdict::Delivered).count();
                    self.ledger.acked.inc_by(delivered as u64);
                    self.accepted.set(self.accepted.get() + u64::from(delivered > 0));
                    if let Some(why) = verdicts.iter().find_map(|v| {
                        if let Verdict::Retry(why) = v {
                            Some(why.clone())
                        } else {
                            None
                        }
                    }) {
                        let again = self.sort(part, verdicts).await;
                        // Some progress: the sink is well, and only these have to wait.
                        if delivered > 0 {
                            pause = Pause::new(self.retry_max);
                        }
                        self.wait(&mut pause, &why, None, again.len()).await;
                        parts.push(again);
                    } else {
                        self.sort(part, verdicts).await;
                        pause.done();
                    }
                }
                Answer::Later { why, after } => {
                    self.wait(&mut pause, &why, after, part.len()).await;
                    parts.push(part);
                }
                Answer::Smaller { why, too_large }
                    if part.len() == 1 && (too_large || self.accepted.get() > before) =>
                {
                    self.reject(&[(part[0], why)]).await;
                }
                Answer::Smaller { why, .. } if part.len() == 1 => {
                    self.wait(&mut pause, &why, None, 1).await;
                    // First the others, if there are any: they show whose fault it is.
                    parts.insert(0, part);
                }
                Answer::Smaller { why, .. } => {
                    tracing::info!(why, records = part.len(), "sending in halves");
                    let mut first = part;
                    parts.push(first.split_off(first.len() / 2));
                    parts.push(first);
                }
            }
        }
    }

    /// Rejects what was refused and returns what is to be sent again.
    async fn sort<'b>(&mut self, part: Vec<Record<'b>>, verdicts: Vec<Verdict>) -> Vec<Record<'b>> {
        let (mut again, mut rejected) = (Vec::new(), Vec::new());
        for (record, verdict) in part.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Delivered => {}
                Verdict::Retry(_) => again.push(record),
                Verdict::Reject(why) => rejected.push((record, why)),
            }
        }
        if !rejected.is_empty() {
            self.reject(&rejected).await;
        }
        again
    }

    /// Records are settled as rejected only when the dead-letter file has them (or is full, which is counted as a loss).
    async fn reject(&mut self, rejected: &[(Record<'_>, String)]) {
        let mut pause = Pause::new(self.retry_max);
        let lost = loop {
            let added = self.dead_letter.borrow_mut().add(rejected);
            match added {
                Ok(lost) => break lost,
                Err(error) => {
                    self.wait(
                        &mut pause,
                        &format!("cannot write the dead-letter file: {error}"),
                        None,
                        rejected.len(),
                    )
                    .await
                }
            }
        };
        self.ledger.dead_letter_overflow.inc_by(lost as u64);
        self.ledger.rejected.inc_by(rejected.len() as u64);
    }

    async fn wait(&self, pause: &mut Pause, why: &str, after: Option<Duration>, records: usize) {
        self.ledger.retries.inc();
        let next = pause.backoff.pause().max(after.unwrap_or_default().min(self.retry_max));
        pause.tell(why, records, next);
        tokio::time::sleep(next).await;
    }
}

/// Pauses between tries, and what was told of them: each state once.
struct Pause {
    backoff: Backoff,
    told: Option<String>,
}

impl Pause {
    fn new(max: Duration) -> Self {
        Self {
            backoff: Backoff::new(FIRST_PAUSE, max),
            told: None,
        }
    }

    fn tell(&mut self, why: &str, records: usize, pause: Duration) {
        if self.told.as_deref() != Some(why) {
            tracing::warn!(
                why,
                records,
                ?pause,
                "the sink did not take everything; trying again until it does"
            );
            self.told = Some(why.to_owned());
        }
    }

    fn done(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the sink takes records again");
        }
    }
}

/// Records that the sink refuses for good, with the reason, one JSON object a line.
pub(crate) struct DeadLetter {
    path: Option<PathBuf>,
    file: Option<File>,
    max: u64,
    told_full: bool,
}

impl DeadLetter {
    /// In the state directory; without one, rejected records go to the log.
    pub(crate) fn new(state: Option<&Path>, max: u64) -> Self {
        Self {
            path: state.map(|dir| dir.join("dead-letter.ndjson")),
            file: None,
            max,
            told_full: false,
        }
    }

    /// Keeps the records, durably, in one write; returns how many the file had no room for.
    fn add(&mut self, rejected: &[(Record<'_>, String)]) -> io::Result<usize> {
        let first = rejected.first().map_or("", |(_, why)| why);
        let Some(target) = &self.path else {
            for (record, why) in rejected {
                tracing::error!(
                    record = entry(record, why),
                    "rejected; there is no --state to keep it in"
                );
            }
            return Ok(0);
        };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(target)?),
        };
        let (start, mut lines, mut kept) = (file.metadata()?.len(), Vec::new(), 0);
        for (record, why) in rejected {
            let line = entry(record, why) + "\n";
            if start + (lines.len() + line.len()) as u64 <= self.max {
                lines.extend_from_slice(line.as_bytes());
                kept += 1;
            }
        }
        if let Err(error) = file.write_all(&lines).and_then(|()| file.sync_data()) {
            // Half a line must not stand before the next try.
            file.set_len(start)?;
            return Err(error);
        }
        let (records, lost) = (rejected.len(), rejected.len() - kept);
        tracing::warn!(records, kept, first, file = %target.display(), "rejected by the sink; kept in the dead-letter file");
        if lost > 0 && !std::mem::replace(&mut self.told_full, true) {
            tracing::error!(file = %target.display(), max = self.max, "the dead-letter file is full: rejected records are lost from here on");
        }
        Ok(lost)
    }
}

/// One line of the dead-letter file.
fn entry(record: &Record<'_>, why: &str) -> String {
    let message = String::from_utf8_lossy(record.text);
    json!({ "reason": why, "_id": record.id(), "path": record.source.path, "offset": record.offset, "message": message }).to_string()
}
