//! Connections to one endpoint that carry many requests at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use pod_contract::run::backoff::Backoff;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::respond::Reason;

/// To one endpoint; each carries at least one request, or is of no use.
const MOST: usize = 256;
/// After a further connection was refused, until the next one is asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All that one endpoint has.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    open: RefCell<Vec<Rc<Connection>>>,
    opens: Cell<bool>,
    /// When a connection could not be opened last, and why.
    failure: RefCell<Option<(Instant, Reason, String)>>,
    /// While further connections are refused.
    refusals: RefCell<Option<Refusals>>,
    /// There is another connection, or room on one, or there will be none.
    changed: Notify,
}

/// When the next one may be asked for.
#[derive(Debug)]
struct Refusals {
    pauses: Backoff,
    again: Instant,
}

/// A connection, and how much of it is in use.
#[derive(Debug)]
pub(crate) struct Connection {
    send: RefCell<SendRequest<Bytes>>,
    streams: Cell<usize>,
    has_served: Cell<bool>,
    blamed: Cell<bool>,
    idle_since: Cell<Instant>,
    /// It takes no more requests then: a cluster that has grown gets its share of the load only by new connections.
    retires: Instant,
}

/// Room for one request on a connection, while it lives.
#[derive(Debug)]
pub(crate) struct Slot {
    connection: Rc<Connection>,
    shared: Rc<Shared>,
    /// To begin the request with.
    pub(crate) send: SendRequest<Bytes>,
}

/// The right to open a connection, while it lives: those who wait for one would else open one each.
#[derive(Debug)]
pub(crate) struct Opening(Rc<Shared>);

impl Connection {
    pub(crate) fn new(send: SendRequest<Bytes>, retires: Instant) -> Self {
        Self {
            send: RefCell::new(send),
            streams: Cell::new(0),
            has_served: Cell::new(false),
            blamed: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            retires,
        }
    }

    /// It has not ended, the endpoint has not said that it will, and it is not old.
    fn is_usable(&self, now: Instant) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        (now < self.retires || !self.has_served.get())
            && !matches!(self.send.borrow_mut().poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    /// As far as the endpoint allows it.
    fn has_room(&self) -> bool {
        self.streams.get() < self.send.borrow().current_max_send_streams()
    }
}

impl Shared {
    /// Room on a connection, and whether that has served a request before. What is of no use any more is let go: it ends with its last request.
    pub(crate) fn take(self: &Rc<Self>) -> Option<(Slot, bool)> {
        let now = Instant::now();
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.is_usable(now));
        let connection = open.iter().find(|connection| connection.has_room())?;
        connection.streams.set(connection.streams.get() + 1);
        let slot = Slot {
            connection: Rc::clone(connection),
            shared: Rc::clone(self),
            send: connection.send.borrow().clone(),
        };
        Some((slot, connection.has_served.replace(true)))
    }

    pub(crate) fn add(&self, connection: Connection) {
        self.open.borrow_mut().push(Rc::new(connection));
        self.refusals.take();
        self.failure.take();
        self.changed.notify_waiters();
    }

    /// None while another connection is being opened, or enough of them are.
    pub(crate) fn opening(self: &Rc<Self>) -> Option<Opening> {
        let refusals = self.refusals.borrow();
        let rests = refusals
            .as_ref()
            .is_some_and(|refusals| Instant::now() < refusals.again);
        let may = !self.opens.get() && !rests && self.open.borrow().len() < MOST;
        may.then(|| {
            self.opens.set(true);
            Opening(Rc::clone(self))
        })
    }

    /// There is a connection, however full.
    pub(crate) fn is_open(&self) -> bool {
        let now = Instant::now();
        self.open.borrow().iter().any(|connection| connection.is_usable(now))
    }

    /// There is room on a connection.
    pub(crate) fn has_room(&self) -> bool {
        let now = Instant::now();
        let open = self.open.borrow();
        open.iter()
            .any(|connection| connection.is_usable(now) && connection.has_room())
    }

    /// Another connection was refused, beside those that there are: the next one is asked for after a while, longer each time.
    pub(crate) fn refused(&self) {
        let mut refusals = self.refusals.borrow_mut();
        let refusals = refusals.get_or_insert_with(|| Refusals {
            pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            again: Instant::now(),
        });
        refusals.again = Instant::now() + refusals.pauses.pause_with(1.0);
    }

    /// For one who waits for a place, there is one.
    pub(crate) fn wake_one(&self) {
        self.changed.notify_one();
    }

    /// There is no connection.
    pub(crate) fn failed(&self, reason: Reason, why: String) {
        self.failure.replace(Some((Instant::now(), reason, why)));
        self.changed.notify_waiters();
    }

    /// Why there is no connection, for who has waited for one since then.
    pub(crate) fn failed_since(&self, began: Instant) -> Option<(Reason, String)> {
        let failure = self.failure.borrow();
        let (at, reason, why) = failure.as_ref()?;
        (*at >= began).then(|| (*reason, why.clone()))
    }

    /// Waits until it is worth its while to ask again.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Closes what nobody has used for `idle`.
    pub(crate) fn sweep(&self, now: Instant, idle: Duration) {
        let is_needed =
            |connection: &Connection| connection.streams.get() > 0 || now - connection.idle_since.get() < idle;
        self.open
            .borrow_mut()
            .retain(|connection| is_needed(connection) && connection.is_usable(now));
    }

    /// No more requests on any of them.
    pub(crate) fn clear(&self) {
        self.open.borrow_mut().clear();
    }
}

impl Slot {
    /// True once a connection: if it breaks, that is one failure, however many requests it carries.
    pub(crate) fn may_blame(&self) -> bool {
        !self.connection.blamed.replace(true)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Self { connection, shared, .. } = self;
        connection.streams.set(connection.streams.get() - 1);
        connection.idle_since.set(Instant::now());
        shared.wake_one();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opens.set(false);
    }
}
