//! Idle connections to one endpoint, the last one used first.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

use crate::stream::Stream;

/// Of one endpoint; more are rarely of use, and each takes an open file.
const MAX_IDLE: usize = 256;
/// A moment.
const RECENT: Duration = Duration::from_millis(2);

/// Connections that wait for a request.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
}

/// A connection that may carry another request.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) stream: Stream,
    /// It has carried nothing that its endpoint may not have read yet.
    pub(crate) is_light: bool,
    /// It is old then: a cluster that has grown gets its share of the load only by new connections.
    pub(crate) retires: Instant,
}

#[derive(Debug)]
struct Idle {
    kept: Kept,
    since: Instant,
    until: Instant,
}

impl Pool {
    /// A connection that is open as far as can be seen from here. For a request that can be sent again, one that was in use a moment ago is
    /// taken as it is: to look costs a system call.
    pub(crate) fn take(&self, now: Instant, can_repeat: bool) -> Option<Kept> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { kept, since, until }) = idle.pop() {
            let is_recent = can_repeat && now - since < RECENT;
            if now < until && (is_recent || kept.stream.is_quiet()) {
                kept.stream.rest(false);
                return Some(kept);
            }
        }
        None
    }

    /// Keeps a connection for `within`, or until it retires.
    pub(crate) fn put(&self, kept: Kept, within: Duration) {
        let mut idle = self.idle.borrow_mut();
        let since = Instant::now();
        let until = (since + within).min(kept.retires);
        kept.stream.rest(true);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { kept, since, until });
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
}
