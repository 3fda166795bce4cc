//! How far the work is: a bar on a terminal, a line now and then otherwise.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pod_contract::units::Bytes;

/// How often a bar moves.
const REDRAW: Duration = Duration::from_millis(200);
const WIDTH: usize = 30;

/// Bytes done, out of bytes to do (0 when nobody knows).
#[derive(Debug, Default)]
pub(crate) struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    over: Mutex<bool>,
    wake: Condvar,
    drawn: AtomicBool,
}

impl Progress {
    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back what a failed try had counted.
    pub(crate) fn set_done(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// Does `work` and tells how far it is, every `interval`; a terminal gets a bar instead.
    pub(crate) fn during<T>(&self, what: &str, interval: Option<Duration>, work: impl FnOnce() -> T) -> T {
        let Some(interval) = interval else { return work() };
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = false;
        let bar = std::io::stderr().is_terminal();
        thread::scope(|scope| {
            let teller = thread::Builder::new()
                .stack_size(128 << 10)
                .spawn_scoped(scope, || self.tell(what, interval, bar));
            if let Err(error) = &teller {
                tracing::debug!(%error, "no thread for the progress");
            }
            let result = work();
            *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.wake.notify_all();
            result
        })
    }

    fn tell(&self, what: &str, interval: Duration, bar: bool) {
        let (started, first) = (Instant::now(), self.done.load(Ordering::Relaxed));
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        // It may be over before this thread has begun.
        while !*over {
            let pause = if bar { REDRAW } else { interval };
            over = self
                .wake
                .wait_timeout(over, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if *over {
                break;
            }
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            let pace = Pace::new(done.saturating_sub(first), done, total, started.elapsed());
            if bar {
                self.draw(&format!("\r{what} {}\x1b[K", pace.bar()));
            } else {
                tracing::info!(done, total, rate = %pace.rate(), left = %pace.left(), "{what}");
            }
        }
        if self.drawn.swap(false, Ordering::Relaxed) {
            self.draw("\r\x1b[K");
            self.drawn.store(false, Ordering::Relaxed);
        }
    }

    fn draw(&self, text: &str) {
        self.drawn.store(true, Ordering::Relaxed);
        // A terminal that has gone is no reason to stop copying.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// What the figures amount to.
struct Pace {
    done: u64,
    total: u64,
    /// Bytes a second.
    rate: f64,
}

impl Pace {
    fn new(moved: u64, done: u64, total: u64, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            done,
            total,
            rate: if seconds > 0.0 { moved as f64 / seconds } else { 0.0 },
        }
    }

    fn rate(&self) -> String {
        format!("{}/s", Bytes(self.rate as u64))
    }

    fn left(&self) -> String {
        if self.total <= self.done || self.rate < 1.0 {
            return "?".into();
        }
        format!("{}s", ((self.total - self.done) as f64 / self.rate).ceil())
    }

    fn bar(&self) -> String {
        if self.total == 0 {
            return format!("{} {}", Bytes(self.done), self.rate());
        }
        let share = (self.done as f64 / self.total as f64).min(1.0);
        let filled = (share * WIDTH as f64) as usize;
        format!(
            "[{}{}] {:3.0}% of {} {} {} left",
            "#".repeat(filled),
            ".".repeat(WIDTH - filled),
            share * 100.0,
            Bytes(self.total),
            self.rate(),
            self.left()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_time_left_and_bar() {
        let pace = Pace::new(50 << 20, 50 << 20, 200 << 20, Duration::from_secs(10));
        assert_eq!((pace.rate().as_str(), pace.left().as_str()), ("5.0 MiB/s", "30s"));
        assert_eq!(
            pace.bar(),
            "[#######.......................]  25% of 200.0 MiB 5.0 MiB/s 30s left"
        );
        let unknown = Pace::new(0, 0, 0, Duration::ZERO);
        assert_eq!((unknown.left().as_str(), unknown.bar().as_str()), ("?", "0 B 0 B/s"));
        assert!(Pace::new(9, 9, 5, Duration::from_secs(1)).bar().contains("100%"));
    }
}
