//! The one retry engine: sends a batch until every record is delivered or rejected, and never gives up on one in between.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    pub(crate) dead_letter: DeadLetter,
    pub(crate) retry_max: Duration,
}

impl Delivery {
    /// Returns when every record of the batch is settled.
    pub(crate) async fn deliver(&mut self, batch: &Batch) {
        // Parts still to send; a part that the sink calls too large is split.
        let mut parts: Vec<Vec<Record<'_>>> = vec![batch.records().collect()];
        let mut pause = Backoff::new(self.retry_max);
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.sink.send(&part, batch.read_at).await {
                Answer::Each(verdicts) => {
                    let delivered = verdicts.iter().filter(|v| **v == Verdict::Delivered).count();
                    self.ledger.acked.inc_by(delivered as u64);
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
                            pause = Backoff::new(self.retry_max);
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
                Answer::Smaller { why } if part.len() == 1 => self.reject(&part[0], &why).await,
                Answer::Smaller { why } => {
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
        let mut again = Vec::new();
        for (record, verdict) in part.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Delivered => {}
                Verdict::Retry(_) => again.push(record),
                Verdict::Reject(why) => self.reject(&record, &why).await,
            }
        }
        again
    }

    /// A record is settled as rejected only when the dead-letter file has it (or is full, which is counted as a loss).
    async fn reject(&mut self, record: &Record<'_>, why: &str) {
        let mut pause = Backoff::new(self.retry_max);
        loop {
            match self.dead_letter.add(record, why) {
                Ok(true) => break,
                Ok(false) => {
                    self.ledger.dead_letter_overflow.inc();
                    break;
                }
                Err(error) => {
                    let why = format!("cannot write the dead-letter file: {error}");
                    self.wait(&mut pause, &why, None, 1).await;
                }
            }
        }
        self.ledger.rejected.inc();
    }

    async fn wait(&self, pause: &mut Backoff, why: &str, after: Option<Duration>, records: usize) {
        self.ledger.retries.inc();
        let next = pause.next().max(after.unwrap_or_default().min(self.retry_max));
        pause.tell(why, records, next);
        tokio::time::sleep(next).await;
    }
}

/// Full jitter between nothing and a ceiling that doubles; tells of each state once.
struct Backoff {
    ceiling: Duration,
    max: Duration,
    told: Option<String>,
}

impl Backoff {
    fn new(max: Duration) -> Self {
        Self {
            ceiling: FIRST_PAUSE.min(max),
            max,
            told: None,
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(fastrand::f64().max(0.1));
        self.ceiling = (self.ceiling * 2).min(self.max);
        pause
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

    /// True when the record is kept, false when the file is full.
    fn add(&mut self, record: &Record<'_>, why: &str) -> io::Result<bool> {
        let message = String::from_utf8_lossy(record.text);
        let (id, path, offset) = (record.id(), &record.source.path, record.offset);
        let Some(target) = &self.path else {
            tracing::error!(why, id, path, offset, %message, "rejected; there is no --state to keep it in");
            return Ok(true);
        };
        let line =
            json!({ "reason": why, "_id": id, "path": path, "offset": offset, "message": message }).to_string() + "\n";
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(target)?),
        };
        if file.metadata()?.len() + line.len() as u64 > self.max {
            if !std::mem::replace(&mut self.told_full, true) {
                tracing::error!(file = %target.display(), max = self.max, "the dead-letter file is full: rejected records are lost from here on");
            }
            return Ok(false);
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        tracing::warn!(why, id, path, offset, "rejected; kept in the dead-letter file");
        Ok(true)
    }
}
