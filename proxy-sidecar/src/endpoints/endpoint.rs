//! One member of the cluster: one address.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::name::Name;
use crate::config::Target;
use crate::policy::balance::{Latency, place};
use crate::policy::breaker::{Breaker, Evidence, Standing};
use crate::policy::health::{Health, Said};
use crate::pool::{Kept, Pool, Shared};

/// One address that requests go to.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Tells it from all others of this process.
    pub(crate) id: u64,
    /// For people: as it was configured, with the address that the name has.
    pub(crate) label: String,
    /// As it was configured.
    pub(crate) target: Rc<Target>,
    pub(crate) address: SocketAddr,
    name: Option<Rc<Name>>,
    pool: Pool,
    /// Connections of many requests each.
    pub(crate) shared: Rc<Shared>,
    breaker: RefCell<Breaker>,
    health: RefCell<Health>,
    /// Whether it is fit has changed.
    shifted: Notify,
    in_flight: Cell<usize>,
    latency: Cell<Latency>,
    /// Of the balancer: when it had its last turn.
    pub(crate) turn: Cell<f64>,
    /// Of the balancer: where it is among the hashes.
    pub(crate) place: u64,
    /// It is well, as far as is known, since then.
    well_since: Cell<Instant>,
    /// Connections to it that are late.
    doubts: Cell<usize>,
    /// It has left the cluster: what is under way ends, and nothing new begins.
    draining: Cell<bool>,
}

/// Counts a request as under way while it lives.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: Rc<Endpoint>,
    /// Of the one try that tells whether the endpoint is back.
    probe: Option<u64>,
    /// If it is not back, the request can go elsewhere, and does so after this time.
    pub(crate) patience: Option<Duration>,
}

/// Others are preferred to the endpoint while it lives.
#[derive(Debug)]
pub(crate) struct Doubt(Rc<Endpoint>);

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Endpoint {
    pub(super) fn new(target: &Rc<Target>, address: SocketAddr, name: Option<&Rc<Name>>) -> Rc<Self> {
        let label = match name {
            Some(_) => format!("{} at {}", target.address, address.ip()),
            None => target.address.to_string(),
        };
        Rc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            label,
            target: Rc::clone(target),
            address,
            name: name.map(Rc::clone),
            pool: Pool::default(),
            shared: Rc::default(),
            breaker: RefCell::default(),
            health: RefCell::default(),
            shifted: Notify::new(),
            in_flight: Cell::new(0),
            latency: Cell::default(),
            // Not every proxy begins with the same one.
            turn: Cell::new(-fastrand::f64()),
            place: place(&format!(
                "{address} {}{}",
                target.host.to_ascii_lowercase(),
                target.prefix
            )),
            well_since: Cell::new(Instant::now()),
            doubts: Cell::new(0),
            draining: Cell::new(false),
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    pub(crate) fn latency(&self) -> Latency {
        self.latency.get()
    }

    pub(crate) fn well_since(&self) -> Instant {
        self.well_since.get()
    }

    pub(crate) fn standing(&self) -> Standing {
        if let Some(check) = &self.target.health {
            match (check.is_required, self.health.borrow().is_fit()) {
                (true, Some(false) | None) => return Standing::Barred,
                (false, Some(false)) => return Standing::Unfit,
                (_, Some(true)) | (false, None) => {}
            }
        }
        match self.breaker.borrow().standing(Instant::now) {
            Standing::Well if self.doubts.get() > 0 => Standing::Out,
            standing => standing,
        }
    }

    /// A check has ended; true if that changes anything.
    pub(crate) fn checked(&self, said: Said) -> bool {
        let Some(is_fit) = self.health.borrow_mut().note(said) else {
            return false;
        };
        if is_fit {
            self.begins_anew();
            tracing::info!(endpoint = self.label, "endpoint passes its health check");
        } else {
            tracing::warn!(
                endpoint = self.label,
                why = self.health.borrow().why(),
                "endpoint does not pass its health check"
            );
        }
        self.shifted.notify_waiters();
        true
    }

    /// Why it does not pass its check.
    pub(crate) fn why_unfit(&self) -> String {
        format!("{}: {}", self.label, self.health.borrow().why())
    }

    /// Waits until it is not to be used any more.
    pub(crate) async fn barred(&self) {
        while self.standing() != Standing::Barred {
            self.shifted.notified().await;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// A connection that was kept.
    pub(crate) fn take_kept(&self, can_repeat: bool) -> Option<Kept> {
        self.pool.take(Instant::now(), can_repeat)
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, kept: Kept, max_idle: Duration) {
        if !self.draining.get() {
            self.pool.put(kept, max_idle);
        }
    }

    /// Closes what has been kept for long enough.
    pub(crate) fn sweep(&self, max_idle: Duration) {
        self.pool.sweep(Instant::now());
        self.shared.sweep(Instant::now(), max_idle);
    }

    /// No more requests, but for those under way.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.forsake_kept();
        tracing::info!(
            endpoint = self.label,
            in_flight = self.in_flight.get(),
            "endpoint has left the cluster"
        );
    }

    /// A try on a connection failed, so that those that are kept have no way to the endpoint, or lead to the same process.
    pub(crate) fn forsake_kept(&self) {
        self.pool.clear();
        self.shared.clear();
    }

    /// A try that began at `began` failed.
    pub(crate) fn failed(&self, evidence: Evidence, began: Instant, why: &dyn std::fmt::Display) {
        if evidence == Evidence::Unreachable
            && let Some(name) = &self.name
        {
            name.doubt();
        }
        let (now, jitter) = (Instant::now(), fastrand::f64());
        // How long it took may be the client's doing.
        self.note(|latency| latency.note_failure(Duration::ZERO));
        if self.breaker.borrow_mut().failed(evidence, began, now, jitter) {
            tracing::warn!(endpoint = self.label, %why, "endpoint is down; it rests");
        }
    }

    /// It answered. `took`: since it had the whole request; none if it did not wait for that.
    pub(crate) fn answered(&self, status: u16, took: Option<Duration>) {
        if self.breaker.borrow_mut().succeeded() {
            self.is_back();
        }
        // What is not implemented fails because of the request.
        let has_failed = status >= 500 && !matches!(status, 501 | 505);
        self.note(|latency| match took {
            _ if has_failed => latency.note_failure(took.unwrap_or_default()),
            Some(took) => latency.note(took),
            None => {}
        });
    }

    /// Whoever asked has left, after so long.
    pub(crate) fn kept_silent(&self, lasted: Duration) {
        self.note(|latency| latency.note_silence(lasted));
    }

    fn note(&self, what: impl FnOnce(&mut Latency)) {
        let mut latency = self.latency.get();
        what(&mut latency);
        self.latency.set(latency);
    }

    /// How it was before it was away says nothing of how it is.
    fn begins_anew(&self) {
        self.well_since.set(Instant::now());
        self.latency.set(Latency::default());
    }

    fn is_back(&self) {
        self.begins_anew();
        tracing::info!(endpoint = self.label, "endpoint is back");
    }

    /// It took a connection, and has `spoken` on it or not; that says nothing of its answers.
    pub(crate) fn connected(&self, spoken: bool) {
        if self.breaker.borrow_mut().connected(spoken) {
            self.is_back();
        }
    }
}

impl InFlight {
    pub(crate) fn on(endpoint: &Rc<Endpoint>) -> Self {
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        let is_due = matches!(endpoint.standing(), Standing::Due { .. });
        Self {
            endpoint: Rc::clone(endpoint),
            probe: is_due.then(|| endpoint.breaker.borrow_mut().probe()).flatten(),
            patience: None,
        }
    }

    /// A request that is about to try whether the endpoint is back, and can go elsewhere.
    pub(crate) fn trying(endpoint: &Rc<Endpoint>) -> Self {
        let mut trying = Self::on(endpoint);
        trying.patience = Some(endpoint.breaker.borrow().patience());
        trying
    }

    /// It tells whether the endpoint is back.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Deref for InFlight {
    type Target = Rc<Endpoint>;

    fn deref(&self) -> &Rc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        endpoint.in_flight.set(endpoint.in_flight.get() - 1);
        if let Some(number) = self.probe {
            endpoint.breaker.borrow_mut().probed(number);
        }
    }
}

impl Doubt {
    pub(crate) fn of(endpoint: &Rc<Endpoint>) -> Self {
        endpoint.doubts.set(endpoint.doubts.get() + 1);
        Self(Rc::clone(endpoint))
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.doubts.set(self.0.doubts.get() - 1);
    }
}
