//! Idle connections to one endpoint, the last one used first.

use std::cell::RefCell;

use tokio::time::Instant;

use crate::stream::Stream;

/// Of one endpoint; more are rarely of use, and each takes an open file.
const MAX_IDLE: usize = 256;

/// Connections that wait for a request.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
}

/// A connection that may carry another request.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) stream: Stream,
    /// It is old then: a cluster that has grown gets its share of the load only by new connections.
    pub(crate) retires: Instant,
}

#[derive(Debug)]
struct Idle {
    kept: Kept,
    until: Instant,
}

impl Pool {
    /// A connection that is open as far as can be seen from here.
    pub(crate) fn take(&self, now: Instant) -> Option<Kept> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { kept, until }) = idle.pop() {
            if now < until && kept.stream.is_quiet() {
                return Some(kept);
            }
        }
        None
    }

    /// Keeps a connection until `until`, or until it retires.
    pub(crate) fn put(&self, kept: Kept, until: Instant) {
        let mut idle = self.idle.borrow_mut();
        let until = until.min(kept.retires);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { kept, until });
        }
    }

    /// Closes what has been idle for too long, or was closed by the endpoint.
    pub(crate) fn sweep(&self, now: Instant) {
        self.idle
            .borrow_mut()
            .retain(|idle| now < idle.until && idle.kept.stream.is_quiet());
    }

    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().len()
    }
}
