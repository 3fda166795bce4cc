//! Readiness as a latch: ready once every part that start-up waits for has let go of its [`Latch`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What `/readyz` reports. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    waiting: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Ready {
    /// Holds readiness back until the latch is dropped; `name` is shown to whoever asks what is missing.
    pub fn latch(&self, name: impl Into<Arc<str>>) -> Latch {
        let name = name.into();
        self.with(|waiting| waiting.insert(Arc::clone(&name)));
        Latch {
            ready: self.clone(),
            name,
        }
    }

    /// The names still waited for; empty when ready.
    pub fn waiting(&self) -> Vec<Arc<str>> {
        self.with(|waiting| waiting.iter().cloned().collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<Arc<str>>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the process unready while it lives.
#[derive(Debug)]
pub struct Latch {
    ready: Ready,
    name: Arc<str>,
}

impl Latch {
    /// What is waited for.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.ready.with(|waiting| waiting.remove(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_all_latches_are_gone() {
        let ready = Ready::default();
        let (a, b) = (ready.latch("a"), ready.latch("b"));
        assert_eq!(ready.waiting(), [Arc::from("a"), "b".into()]);
        drop(a);
        assert_eq!(ready.waiting(), [Arc::from("b")]);
        drop(b);
        assert!(ready.waiting().is_empty());
    }
}
