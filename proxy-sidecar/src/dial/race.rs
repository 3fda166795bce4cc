//! Connections under way at the same time: the next one starts when those before are late, and the first that stands wins. After RFC 8305,
//! section 5, with the members of a cluster in the place of the addresses of a host.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::link::link;
use super::{DialError, Link, Use};
use crate::endpoints::{Doubt, Endpoint, InFlight};

/// A connection that takes longer is late: RFC 8305, section 8, recommends this.
const LATE: Duration = Duration::from_millis(250);
/// One that stands, and has not ended its handshake: that takes further journeys, and keys that cost time.
const HANDSHAKE_LATE: Duration = Duration::from_secs(1);

type Connecting = Pin<Box<dyn Future<Output = Result<Link, DialError>>>>;

/// A connection under way.
pub(crate) struct Dial {
    pub(crate) endpoint: InFlight,
    pub(crate) began: Instant,
    connecting: Connecting,
    /// There is a connection; what is left is its handshake.
    stands: Rc<Cell<bool>>,
    /// While it is late, others are preferred.
    doubt: Option<Doubt>,
}

/// All connections under way for one request.
pub(crate) struct Race {
    dials: Vec<Dial>,
    late: Option<Pin<Box<Sleep>>>,
    started: usize,
}

/// What happens next.
pub(crate) enum Event {
    Connected(InFlight, Link),
    Failed(Dial, DialError),
    /// Nothing for a while: another one may be started.
    Late,
}

impl Dial {
    pub(crate) fn start(endpoint: InFlight, purpose: Use, within: Duration) -> Self {
        let stands = Rc::new(Cell::new(false));
        let connecting = Box::pin(link(Rc::clone(&endpoint), purpose, within, Rc::clone(&stands)));
        Self {
            endpoint,
            began: Instant::now(),
            connecting,
            stands,
            doubt: None,
        }
    }

    fn is_late(&self) -> bool {
        let limit = if self.stands.get() { HANDSHAKE_LATE } else { LATE };
        self.began.elapsed() >= limit
    }

    fn note_lateness(&mut self) {
        if self.is_late() {
            self.doubt.get_or_insert_with(|| Doubt::of(&self.endpoint));
        }
    }

    /// The end of it, when nobody waits for that any more.
    pub(crate) async fn end(&mut self) -> Result<Link, DialError> {
        loop {
            tokio::select! {
                biased;
                linked = &mut self.connecting => return linked,
                () = sleep(LATE), if self.doubt.is_none() => self.note_lateness(),
            }
        }
    }
}

impl Race {
    pub(crate) fn new() -> Self {
        Self {
            dials: Vec::new(),
            late: None,
            started: 0,
        }
    }

    pub(crate) fn start(&mut self, dial: Dial) {
        self.dials.push(dial);
        self.started += 1;
        self.late = None;
    }

    /// How many were started so far.
    pub(crate) fn started(&self) -> usize {
        self.started
    }

    /// How many are under way to `endpoint`.
    pub(crate) fn to(&self, endpoint: &Endpoint) -> usize {
        self.dials
            .iter()
            .filter(|dial| std::ptr::eq(&raw const **dial.endpoint, endpoint))
            .count()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.dials.is_empty()
    }

    /// Waits for the next event; is not to be called when it is over.
    pub(crate) async fn next(&mut self) -> Event {
        poll_fn(|context| {
            for at in 0..self.dials.len() {
                if let Poll::Ready(result) = self.dials[at].connecting.as_mut().poll(context) {
                    let dial = self.dials.swap_remove(at);
                    return Poll::Ready(match result {
                        Ok(link) => Event::Connected(dial.endpoint, link),
                        Err(error) => Event::Failed(dial, error),
                    });
                }
            }
            loop {
                let late = self.late.get_or_insert_with(|| Box::pin(sleep(LATE)));
                ready!(late.as_mut().poll(context));
                self.late = None;
                // Those before have been late for longer, and were told to be.
                let newest = self.dials.iter().max_by_key(|dial| dial.began);
                if newest.is_some_and(Dial::is_late) {
                    self.dials.iter_mut().for_each(Dial::note_lateness);
                    return Poll::Ready(Event::Late);
                }
            }
        })
        .await
    }

    /// Those that have not won. They may still tell whether their endpoints are there.
    pub(crate) fn into_rest(self) -> Vec<Dial> {
        self.dials
    }
}
