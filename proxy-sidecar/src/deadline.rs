//! One timer a connection, moved lazily: setting a later deadline costs a store, not a timer operation.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Far enough to mean never, near enough for the timer.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Fires when `at` has passed without being moved.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Cell<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(crate) fn new() -> Self {
        let at = Instant::now() + NEVER;
        Self {
            at: Cell::new(at),
            sleep: Box::pin(sleep_until(at)),
        }
    }

    /// Fires after `wait` from now.
    pub(crate) fn set(&mut self, wait: Duration) {
        let at = Instant::now() + wait.min(NEVER);
        self.at.set(at);
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
    }

    /// Waits until the deadline has passed.
    pub(crate) async fn passed(&mut self) {
        loop {
            self.sleep.as_mut().await;
            if Instant::now() >= self.at.get() {
                return;
            }
            self.sleep.as_mut().reset(self.at.get());
        }
    }

    /// Waits until `activity` has been still for longer than its limit. Looks at least every `tick`, so that a limit may be shortened.
    pub(crate) async fn idle(&mut self, activity: &Activity, tick: Duration) {
        while !self.is_idle(activity, tick).await {}
    }

    /// The same, for a `tick` at most; false when there is still time.
    pub(crate) async fn is_idle(&mut self, activity: &Activity, tick: Duration) -> bool {
        let (now, at) = (Instant::now(), activity.ends_at());
        if now >= at {
            return true;
        }
        self.at.set(at.min(now + tick));
        if self.at.get() < self.sleep.deadline() || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(self.at.get());
        }
        self.sleep.as_mut().await;
        false
    }
}

/// Timers for what comes and goes often: one that is new wakes the runtime's driver by a system call, one that is used again and moved to a
/// later time does not.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(RefCell<Vec<Deadline>>);

/// A timer on loan.
#[derive(Debug)]
pub(crate) struct Borrowed<'d> {
    from: &'d Deadlines,
    deadline: Option<Deadline>,
}

/// Timers that are kept.
const KEPT: usize = 128;

impl Deadlines {
    pub(crate) fn borrow(&self) -> Borrowed<'_> {
        let deadline = self.0.borrow_mut().pop().unwrap_or_else(Deadline::new);
        Borrowed {
            from: self,
            deadline: Some(deadline),
        }
    }
}

impl Borrowed<'_> {
    /// See [`Deadline::is_idle`].
    pub(crate) async fn is_idle(&mut self, activity: &Activity, tick: Duration) -> bool {
        match &mut self.deadline {
            Some(deadline) => deadline.is_idle(activity, tick).await,
            None => unreachable!("it goes back when this ends"),
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut kept = self.from.0.borrow_mut();
        if kept.len() < KEPT {
            kept.extend(self.deadline.take());
        }
    }
}

/// When a byte moved last, and how long nothing may move.
#[derive(Debug)]
pub(crate) struct Activity {
    at: Cell<Instant>,
    /// For the side that is read from.
    input_limit: Cell<Duration>,
    /// For the side that is written to.
    output_limit: Cell<Duration>,
    awaits_input: Cell<bool>,
}

impl Activity {
    pub(crate) fn within(input: Duration, output: Duration) -> Self {
        Self {
            at: Cell::new(Instant::now()),
            input_limit: Cell::new(input),
            output_limit: Cell::new(output),
            awaits_input: Cell::new(false),
        }
    }

    pub(crate) fn mark(&self) {
        self.at.set(Instant::now());
    }

    pub(crate) fn moved_at(&self) -> Instant {
        self.at.get()
    }

    /// From now on, for both sides.
    pub(crate) fn limit(&self, limit: Duration) {
        self.input_limit.set(limit);
        self.output_limit.set(limit);
        self.mark();
    }

    /// Notes whether the side that is read from is the one that is waited for.
    pub(crate) fn await_input(&self, awaiting: bool) {
        self.awaits_input.set(awaiting);
    }

    pub(crate) fn is_awaiting_input(&self) -> bool {
        self.awaits_input.get()
    }

    fn ends_at(&self) -> Instant {
        let limit = if self.awaits_input.get() {
            &self.input_limit
        } else {
            &self.output_limit
        };
        self.at.get() + limit.get().min(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn fires_at_the_last_setting_whether_earlier_or_later() {
        for waits in [[10, 20], [20, 10]] {
            paused(async {
                let start = Instant::now();
                let mut deadline = Deadline::new();
                for seconds in waits {
                    deadline.set(Duration::from_secs(seconds));
                }
                deadline.passed().await;
                assert_eq!(start.elapsed().as_secs(), waits[1]);
            });
        }
    }

    #[test]
    fn a_limit_may_be_shortened() {
        paused(async {
            let (start, activity) = (
                Instant::now(),
                Activity::within(Duration::from_secs(60), Duration::from_secs(60)),
            );
            let mut deadline = Deadline::new();
            let work = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                activity.limit(Duration::from_secs(2));
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = work => {}
                () = deadline.idle(&activity, Duration::from_secs(2)) => {}
            }
            assert!((3..=4).contains(&start.elapsed().as_secs()));
        });
    }

    #[test]
    fn activity_postpones_idleness() {
        paused(async {
            let (start, activity) = (
                Instant::now(),
                Activity::within(Duration::from_secs(5), Duration::from_secs(5)),
            );
            let mut deadline = Deadline::new();
            let work = async {
                for _ in 0..3 {
                    tokio::time::sleep(Duration::from_secs(4)).await;
                    activity.mark();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = work => {}
                () = deadline.idle(&activity, Duration::from_secs(60)) => {}
            }
            assert_eq!(start.elapsed().as_secs(), 17);
        });
    }
}
