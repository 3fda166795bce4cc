//! Idle connections to one endpoint, the last one used first.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

use crate::stream::Stream;

/// More idle connections than requests may be under way are of no use; this bounds the file descriptors too.
const MAX_IDLE: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<(Stream, Instant)>>,
}

/// A connection for one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) stream: Stream,
    /// It has carried a request before: the endpoint may have closed it at this very moment.
    pub(crate) reused: bool,
}

impl Pool {
    /// A connection that is open as far as can be seen from here.
    pub(crate) fn take(&self, max_idle: Duration) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some((stream, since)) = idle.pop() {
            if since.elapsed() > max_idle {
                // The rest has waited even longer.
                idle.clear();
                return None;
            }
            if stream.is_quiet() {
                return Some(Lease { stream, reused: true });
            }
        }
        None
    }

    pub(crate) fn put(&self, stream: Stream) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push((stream, Instant::now()));
        }
    }

    /// Closes what has been idle for too long, or was closed by the endpoint.
    pub(crate) fn sweep(&self, max_idle: Duration) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|(stream, since)| since.elapsed() <= max_idle && stream.is_quiet());
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().len()
    }
}
