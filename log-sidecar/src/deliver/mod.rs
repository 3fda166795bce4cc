//! The one retry engine: sends a batch until every record is delivered or rejected, and never gives up on one in between.

mod dead_letter;
mod pause;

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use pod_contract::config::Word;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::dead_letter::{DeadLetter, Entry, PREFIX as DEAD_LETTER, path_in};
use self::pause::Pause;
use crate::batch::{Batch, Record};
use crate::ledger::Ledger;
use crate::sink::{Answer, Known, Sink, Verdict};

/// What becomes of a batch of which every record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllRefused {
    /// It waits until the sink has taken something else: before that, nobody knows that the records are at fault.
    Hold,
    /// They are at fault.
    Reject,
}

impl Word for AllRefused {
    const FORM: &'static str = "hold or reject";
    const WORDS: &'static [(&'static str, Self)] = &[("hold", Self::Hold), ("reject", Self::Reject)];
}

/// A sink that does not say what it has may still take what comes.
const MAX_QUESTIONS: u32 = 5;

/// Delivers batches to one sink, several at a time.
pub(crate) struct Delivery {
    pub(crate) sink: Sink,
    ledger: Ledger,
    requests: Semaphore,
    dead_letter: RefCell<DeadLetter>,
    /// Requests of which the sink took something.
    accepted: Cell<u64>,
    /// That the sink does not say what it has.
    is_silence_told: Cell<bool>,
    retry_max: Duration,
    all_refused: AllRefused,
}

/// What is known of a batch on its way.
struct Course<'c> {
    /// Is told that it is held, and that it is no longer.
    hold: &'c dyn Fn(bool),
    is_held: bool,
    pause: Pause,
    /// The sink took some of its records.
    is_taken: bool,
    /// It refused a request of which it may have taken some.
    is_unclear: bool,
    /// How many requests had been accepted when it was first refused as a whole.
    refused_at: Option<u64>,
}

impl Course<'_> {
    fn set_held(&mut self, is_held: bool) {
        if std::mem::replace(&mut self.is_held, is_held) != is_held {
            (self.hold)(is_held);
        }
    }
}

impl Delivery {
    pub(crate) fn new(
        sink: Sink,
        ledger: Ledger,
        dead_letter: DeadLetter,
        retry_max: Duration,
        all_refused: AllRefused,
    ) -> Self {
        Self {
            requests: Semaphore::new(sink.requests()),
            sink,
            ledger,
            dead_letter: RefCell::new(dead_letter),
            accepted: Cell::new(0),
            is_silence_told: Cell::new(false),
            retry_max,
            all_refused,
        }
    }

    /// How many batches may be under way: those that wait leave the sink to the others, unless their order counts.
    pub(crate) fn batches(&self, most: usize) -> usize {
        if self.sink.keeps_order() { 1 } else { most }
    }

    /// Returns when every record of the batch is settled.
    pub(crate) async fn deliver(&self, batch: &Batch, hold: &dyn Fn(bool)) {
        // Parts still to send; a part that the sink calls too large is split.
        let mut all = Vec::with_capacity(batch.lot().records);
        all.extend(batch.records());
        let mut parts: Vec<Vec<Record<'_>>> = vec![all];
        let mut course = Course {
            hold,
            is_held: false,
            pause: Pause::new(self.retry_max),
            is_taken: false,
            is_unclear: false,
            refused_at: None,
        };
        while let Some(part) = parts.pop() {
            let part = self.without_known(part, batch.read_at, &mut course).await;
            if part.is_empty() {
                continue;
            }
            let permit = self.permit().await;
            let answer = self.sink.send(&part, batch.lot()).await;
            drop(permit);
            match answer {
                Answer::Each(verdicts) => {
                    let again = self.settle(part, verdicts, batch.read_at, &mut course).await;
                    parts.push(again);
                }
                Answer::Partial { rejected, why } => {
                    tracing::error!(
                        rejected,
                        records = part.len(),
                        why,
                        "the sink refuses records without saying which: they are lost"
                    );
                    self.note_delivered(part.len() - rejected, &mut course);
                    self.ledger.lost.inc_by(rejected as u64);
                }
                Answer::Later { why, after, is_unclear } => {
                    self.wait(&mut course.pause, &why, after, part.len()).await;
                    let mut part = part;
                    part.iter_mut().for_each(|record| record.may_be_known |= is_unclear);
                    parts.push(part);
                }
                Answer::Unclear { why } => {
                    self.wait(&mut course.pause, &why, None, part.len()).await;
                    // A sink that does not know what it says is not sent everything again and again.
                    let mut first = part;
                    first.iter_mut().for_each(|record| record.may_be_known = true);
                    parts.push(first.split_off(1));
                    parts.push(first);
                }
                Answer::Smaller { why, too_large, .. }
                    if part.len() == 1 && (too_large || self.is_at_fault(&mut course)) =>
                {
                    self.reject(&[(part[0], why)], batch.read_at).await;
                }
                Answer::Smaller { why, .. } if part.len() == 1 => {
                    // First the others, if there are any: they show whose fault it is. Until then, this batch stops no other.
                    course.set_held(true);
                    self.wait(&mut course.pause, &why, None, 1).await;
                    parts.insert(0, part);
                }
                Answer::Smaller { why, is_unclear, .. } => {
                    tracing::info!(why, records = part.len(), "sending in halves");
                    course.is_unclear |= is_unclear;
                    let mut first = part;
                    first.iter_mut().for_each(|record| record.may_be_known |= is_unclear);
                    parts.push(first.split_off(first.len() / 2));
                    parts.push(first);
                }
            }
        }
        course.set_held(false);
    }

    async fn permit(&self) -> SemaphorePermit<'_> {
        let permit = self.requests.acquire().await;
        permit.expect("it is never closed")
    }

    /// Leaves out what the sink has already, of what it may have.
    async fn without_known<'b>(
        &self,
        mut part: Vec<Record<'b>>,
        read_at: SystemTime,
        course: &mut Course<'_>,
    ) -> Vec<Record<'b>> {
        let uncertain: Vec<_> = part.iter().copied().filter(|record| record.may_be_known).collect();
        if uncertain.is_empty() {
            return part;
        }
        let mut tries = 0;
        let known = loop {
            let permit = self.permit().await;
            let known = self.sink.known(&uncertain, read_at).await;
            drop(permit);
            match known {
                Some(Known::Each(known)) => break known,
                Some(Known::NotNow(why)) if tries < MAX_QUESTIONS => {
                    tries += 1;
                    self.wait(&mut course.pause, &why, None, uncertain.len()).await;
                }
                // It may take records all the same; if not, it is asked again.
                Some(Known::NotNow(why)) => {
                    self.tell_silence(&why);
                    return part;
                }
                Some(Known::Never(why)) => {
                    self.tell_silence(&why);
                    break Vec::new();
                }
                None => break Vec::new(),
            }
        };
        let is_known = known.iter().filter(|&&is_known| is_known).count();
        if course.is_unclear {
            self.note_delivered(is_known, course);
        } else {
            // That says nothing of whether the sink takes anything now.
            self.ledger.acked.inc_by(is_known as u64);
        }
        let mut known = known.into_iter();
        part.retain_mut(|record| !(std::mem::take(&mut record.may_be_known) && known.next().unwrap_or_default()));
        part
    }

    fn note_delivered(&self, records: usize, course: &mut Course<'_>) {
        self.ledger.acked.inc_by(records as u64);
        if records > 0 {
            self.accepted.set(self.accepted.get() + 1);
            course.is_taken = true;
            course.set_held(false);
            course.pause.restart();
        }
    }

    /// Once.
    fn tell_silence(&self, why: &str) {
        if !self.is_silence_told.replace(true) {
            tracing::warn!(
                why,
                "the sink does not say what it has: what is sent again after a lost answer or a kill may be there twice; let us read what we write"
            );
        }
    }

    /// Whose fault is a refusal? The records', if the sink has taken others since, or some of the same batch.
    fn is_at_fault(&self, course: &mut Course<'_>) -> bool {
        let accepted = self.accepted.get();
        let refused_at = *course.refused_at.get_or_insert(accepted);
        course.is_taken || accepted > refused_at || self.all_refused == AllRefused::Reject
    }

    /// Rejects what was refused, and returns what is to be sent again, after a pause.
    async fn settle<'b>(
        &self,
        part: Vec<Record<'b>>,
        verdicts: Vec<Verdict>,
        read_at: SystemTime,
        course: &mut Course<'_>,
    ) -> Vec<Record<'b>> {
        let delivered = verdicts.iter().filter(|v| **v == Verdict::Delivered).count();
        self.note_delivered(delivered, course);
        let is_refused = verdicts.iter().any(|v| matches!(v, Verdict::Reject(_)));
        let is_held = is_refused && !self.is_at_fault(course);
        course.set_held(is_held);
        let (mut again, mut rejected, mut reason) = (Vec::new(), Vec::new(), None);
        for (mut record, verdict) in part.into_iter().zip(verdicts) {
            record.may_be_known |= matches!(verdict, Verdict::Unclear(_));
            match verdict {
                Verdict::Delivered => {}
                Verdict::Reject(why) if !is_held => rejected.push((record, why)),
                Verdict::Retry(why) | Verdict::Unclear(why) | Verdict::Reject(why) => {
                    again.push(record);
                    reason.get_or_insert(why);
                }
            }
        }
        if !rejected.is_empty() {
            self.reject(&rejected, read_at).await;
        }
        match reason {
            None => course.pause.done(),
            Some(why) if is_held => {
                let why = format!("every record is refused, and held until others are taken: {why}");
                self.wait(&mut course.pause, &why, None, again.len()).await;
            }
            Some(why) => self.wait(&mut course.pause, &why, None, again.len()).await,
        }
        again
    }

    /// Records are settled as rejected only when the dead-letter file has them (or is full, which is counted as a loss).
    async fn reject(&self, rejected: &[(Record<'_>, String)], read_at: SystemTime) {
        let mut pause = Pause::new(self.retry_max);
        let lost = loop {
            let added = self.dead_letter.borrow_mut().add(rejected, read_at);
            match added {
                Ok(lost) => break lost,
                Err(error) => {
                    let why = format!("cannot write the dead-letter file: {error}");
                    self.wait(&mut pause, &why, None, rejected.len()).await;
                }
            }
        };
        self.ledger.lost.inc_by(lost as u64);
        self.ledger.rejected.inc_by((rejected.len() - lost) as u64);
    }

    async fn wait(&self, pause: &mut Pause, why: &str, after: Option<Duration>, records: usize) {
        self.ledger.retries.inc();
        tokio::time::sleep(pause.next(why, records, after)).await;
    }
}
