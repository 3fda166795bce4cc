//! Conditions that have to hold before anything is done: all of them, within the deadline.

mod condition;

use std::thread;
use std::time::Duration;

use pod_contract::run::backoff::Backoff;
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;

pub(crate) use condition::Condition;

use crate::fetch::Client;

const FIRST: Duration = Duration::from_millis(500);
/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits until every condition has held once; a line in the log for each change, not for each try.
///
/// What does not hold yet is the termination message meanwhile: a wait is what a pod is killed in.
pub(crate) fn wait_for(conditions: &[Condition], client: &Client, words: &LastWords) -> Result<(), Failure> {
    let mut pending: Vec<(&Condition, String)> =
        conditions.iter().map(|condition| (condition, String::new())).collect();
    let mut backoff = Backoff::new(FIRST, LONGEST);
    loop {
        pending.retain_mut(|(condition, told)| match condition.check(client) {
            Ok(()) => {
                tracing::info!(condition = %condition, "holds");
                false
            }
            Err(why) => {
                if *told != why {
                    tracing::info!(condition = %condition, why, "waiting");
                    *told = why;
                }
                true
            }
        });
        if pending.is_empty() {
            words.meanwhile("copying");
            return Ok(());
        }
        let reasons: Vec<_> = pending
            .iter()
            .map(|(condition, why)| format!("{condition}: {why}"))
            .collect();
        let reasons = reasons.join("; ");
        words.meanwhile(format!("waiting for {reasons}"));
        let pause = backoff.pause();
        let left = client.deadline().left();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(client.deadline().failure(&reasons));
        }
        thread::sleep(left.map_or(pause, |left| pause.min(left)));
    }
}
