//! Readiness as a latch: ready once every part that start-up waits for has let go of its [`Latch`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What `/readyz` reports. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    waiting: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Ready {
    /// Holds readiness back until the latch is dropped; `name` is shown to whoever asks what is missing.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.with(|waiting| waiting.insert(name));
        Latch {
            ready: self.clone(),
            name,
        }
    }

    /// The names still waited for; empty when ready.
    pub fn waiting(&self) -> Vec<&'static str> {
        self.with(|waiting| waiting.iter().copied().collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<&'static str>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the process unready while it lives.
#[derive(Debug)]
pub struct Latch {
    ready: Ready,
    name: &'static str,
}

impl Latch {
    /// What is waited for.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.ready.with(|waiting| waiting.remove(self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_all_latches_are_gone() {
        let ready = Ready::default();
        let (a, b) = (ready.latch("a"), ready.latch("b"));
        assert_eq!(ready.waiting(), ["a", "b"]);
        drop(a);
        assert_eq!(ready.waiting(), ["b"]);
        drop(b);
        assert!(ready.waiting().is_empty());
    }
}
