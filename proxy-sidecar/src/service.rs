//! One cluster as the application uses it: picks endpoints, connects, counts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::ServiceConfig;
use crate::endpoints::{Endpoint, InFlight};
use crate::metrics::ServiceMetrics;
use crate::policy::balance::{Load, pick};
use crate::policy::budget::RetryBudget;
use crate::respond::Error;
use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: ServiceConfig,
    pub(crate) metrics: Rc<ServiceMetrics>,
    pub(crate) budget: RetryBudget,
    /// Requests under way hold buffers; this bounds them.
    pub(crate) turns: Semaphore,
    endpoints: Vec<Rc<Endpoint>>,
    rng: RefCell<fastrand::Rng>,
    told_at: Cell<Option<Instant>>,
}

/// The endpoints that one request has been to, with what came of it.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<(String, String)>);

impl Service {
    pub(crate) fn new(config: ServiceConfig, metrics: Rc<ServiceMetrics>) -> Rc<Self> {
        let endpoints = config.endpoints.iter().map(Endpoint::new).collect();
        let turns = Semaphore::new(config.max_requests);
        Rc::new(Self {
            config,
            metrics,
            budget: RetryBudget::new(),
            turns,
            endpoints,
            rng: RefCell::new(fastrand::Rng::new()),
            told_at: Cell::new(None),
        })
    }

    /// The endpoint for the next try; `None` when the request has been everywhere.
    pub(crate) fn pick(&self, tried: &Tried) -> Option<InFlight> {
        let loads = self.endpoints.iter().map(|endpoint| Load {
            in_flight: endpoint.in_flight(),
            usable: endpoint.is_usable(),
            tried: tried.has(&endpoint.name),
        });
        let index = pick(loads, &mut self.rng.borrow_mut())?;
        Some(InFlight::on(&self.endpoints[index]))
    }

    /// A new connection to some endpoint, for a tunnel. Nothing is sent before, so every endpoint may be tried.
    pub(crate) async fn connect(&self) -> Result<(InFlight, Stream), Error> {
        let mut tried = Tried::default();
        while let Some(endpoint) = self.pick(&tried) {
            match endpoint.0.dial(self.config.connect_timeout).await {
                Ok(stream) => {
                    endpoint.0.succeeded();
                    return Ok((endpoint, stream));
                }
                Err(error) => tried.add(&endpoint.0, &error),
            }
        }
        Err(self.unreachable(&tried))
    }

    pub(crate) fn unreachable(&self, tried: &Tried) -> Error {
        let tried: Vec<_> = tried
            .0
            .iter()
            .map(|(endpoint, why)| format!("{endpoint}: {why}"))
            .collect();
        Error::Unreachable {
            service: self.config.name.clone(),
            tried: tried.join("; "),
        }
    }

    /// True once a second at most.
    pub(crate) fn may_tell(&self) -> bool {
        let now = Instant::now();
        let may = self
            .told_at
            .get()
            .is_none_or(|at| now.duration_since(at) >= Duration::from_secs(1));
        if may {
            self.told_at.set(Some(now));
        }
        may
    }

    /// Closes connections that nobody needed for a while.
    pub(crate) fn sweep(&self) {
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.idle() > 0) {
            endpoint.sweep(self.config.upstream_idle);
        }
    }
}

impl Tried {
    pub(crate) fn add(&mut self, endpoint: &Endpoint, why: &dyn std::fmt::Display) {
        self.0.push((endpoint.name.clone(), why.to_string()));
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(tried, _)| tried == name)
    }
}
