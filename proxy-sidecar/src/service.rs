//! One cluster as the application uses it: picks endpoints, connects, counts.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::balancer::Balancer;
use crate::config::{Protocol, ServiceConfig};
use crate::deadline::Deadlines;
use crate::dial::{Dial, DialError, Event, Link, Race, Use};
use crate::endpoints::{Cluster, Endpoint, InFlight, Names};
use crate::exchange::{Exchange, Failed, Verdict};
use crate::lease::Lease;
use crate::metrics::ServiceMetrics;
use crate::policy::breaker::{Evidence, Standing};
use crate::policy::budget::RetryBudget;
use crate::pool::{Connection, Kept, Opening, Shared, Slot};
use crate::respond::{Error, Reason};
use crate::stream::Stream;
use crate::tunnel;

/// Connections that one request may start for itself: of a large cluster that is down, each would else be asked by each request.
const MAX_DIALS: usize = 10;
/// Connections under way that no request waits for, to see whether endpoints are back.
const MAX_BACKGROUND: usize = 16;
/// A request that has been everywhere waits so long for names to be looked up.
const LOOK: Duration = Duration::from_secs(1);
/// Who waits for a connection that another request opens looks again after this, whether others have come to be preferred.
const LATE: Duration = Duration::from_millis(250);
/// For an endpoint to say that it wants nothing to do with us.
const REFUSAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: ServiceConfig,
    pub(crate) metrics: Rc<ServiceMetrics>,
    pub(crate) budget: RetryBudget,
    /// Of clients.
    pub(crate) places: Semaphore,
    /// Requests under way hold buffers; this bounds them, but for what HTTP/2 lets a client send ahead.
    turns: Semaphore,
    cluster: Cluster,
    /// Where a `CONNECT` may lead, each a cluster of its own.
    connects: Vec<Rc<Self>>,
    /// Of checks.
    news: Notify,
    /// Connections that nobody waits for any more, or nobody yet.
    background: TaskTracker,
    balancer: Balancer,
    /// Of requests.
    pub(crate) deadlines: Deadlines,
    told_at: Cell<Option<Instant>>,
    told_full_at: Cell<Option<Instant>>,
}

impl Service {
    pub(crate) fn new(config: ServiceConfig, metrics: Rc<ServiceMetrics>, names: &mut Names) -> Rc<Self> {
        let cluster = Cluster::new(&config.targets, names);
        let balancer = Balancer::new(&config.balancing);
        let (places, turns) = (
            Semaphore::new(config.max_connections),
            Semaphore::new(config.max_requests),
        );
        let connects = config.connects.iter().map(|target| {
            let config = config.connecting_to(target);
            Self::new(config, Rc::clone(&metrics), names)
        });
        let connects = connects.collect();
        Rc::new(Self {
            config,
            metrics,
            connects,
            budget: RetryBudget::new(),
            places,
            turns,
            cluster,
            news: Notify::new(),
            background: TaskTracker::new(),
            balancer,
            deadlines: Deadlines::default(),
            told_at: Cell::new(None),
            told_full_at: Cell::new(None),
        })
    }

    /// A connection for the next try: one that was kept, unless a `fresh` one is wanted, or a new one.
    pub(crate) async fn lease(self: &Rc<Self>, exchange: &mut Exchange, fresh: bool) -> Result<Lease, Error> {
        if exchange.is_new() {
            self.resolved().await?;
        }
        let Some(endpoint) = self.pick(exchange, &Race::new()) else {
            return Err(exchange.exhausted(&self.config.name));
        };
        let kept = if fresh {
            None
        } else {
            endpoint.take_kept(exchange.can_repeat(&self.budget))
        };
        match kept {
            Some(kept) => Ok(Lease::new(endpoint, kept, true)),
            None => {
                let (endpoint, link) = Box::pin(self.connect(endpoint, exchange)).await?;
                match link {
                    Link::Alone(stream) => Ok(Lease::new(endpoint, self.kept(stream), false)),
                    Link::Shared(..) => unreachable!("a service has connections of one kind"),
                }
            }
        }
    }

    /// A place for the next try on a connection that others use too. Where there is none, one is opened, for whoever waits for it.
    pub(crate) async fn lease_shared(self: &Rc<Self>, exchange: &mut Exchange) -> Result<Lease<Slot>, Error> {
        if exchange.is_new() {
            self.resolved().await?;
        }
        let (mut began, mut waits_until) = (Instant::now(), None);
        let gives_up = began + self.config.times.response;
        let mut woken: Option<Rc<Shared>> = None;
        loop {
            let endpoint = match self.pick(exchange, &Race::new()) {
                Some(endpoint) => endpoint,
                None => {
                    let endpoint = self.pick_later(exchange, &mut waits_until).await?;
                    began = Instant::now();
                    endpoint
                }
            };
            let shared = Rc::clone(&endpoint.shared);
            if let Some((slot, reused)) = shared.take() {
                // The place that it was woken for is another one's.
                if let Some(woken) = woken.filter(|woken| !Rc::ptr_eq(woken, &shared)) {
                    woken.wake_one();
                }
                if !reused && !endpoint.is_probe() {
                    self.balancer.stay_with(&endpoint);
                }
                return Ok(Lease::new(endpoint, slot, reused));
            }
            if let Some((reason, why)) = shared.failed_since(began) {
                exchange.unreached(endpoint.id, &endpoint.label, reason, &why);
                continue;
            }
            if Instant::now() >= gives_up {
                let why = format!("all of its connections were full for {:?}", self.config.times.response);
                exchange.unreached(endpoint.id, &endpoint.label, Reason::Unreachable, &why);
                continue;
            }
            if let Some(opening) = shared.opening() {
                self.adopt(self.dial(endpoint), Some(opening));
            }
            // If that is late, another one is preferred by then.
            let changed = timeout(LATE, shared.changed()).await;
            woken = changed.is_ok().then_some(shared);
        }
    }

    /// Waits for a request's turn as long as for a response.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let turn = timeout(self.config.times.response, self.turns.acquire()).await;
        let turn = turn.ok().and_then(Result::ok);
        turn.ok_or(Error::MaxRequests(self.config.max_requests))
    }

    /// A new connection to some endpoint, for a tunnel. Nothing is sent before, so every endpoint may be tried.
    pub(crate) async fn tunnel(self: &Rc<Self>) -> Result<Lease, Error> {
        self.lease(&mut Exchange::new(false, false, 0), true).await
    }

    /// What leads to `place`, a host and a port, if that is allowed.
    pub(crate) fn connects(&self, place: &str) -> Option<&Rc<Self>> {
        let mut all = self.connects.iter();
        all.find(|service| service.config.targets[0].host.eq_ignore_ascii_case(place))
    }

    /// Is some endpoint there? A handshake was worth its while, so whoever asks first may use the connection.
    pub(crate) async fn greet(self: &Rc<Self>) -> Result<(), Error> {
        if self.config.protocol == Protocol::Http2 {
            // It has answered a ping: it wants us.
            return self.lease_shared(&mut Exchange::new(false, false, 0)).await.map(drop);
        }
        let lease = self.tunnel().await?;
        if lease.endpoint.target.secure.is_none() {
            return Ok(());
        }
        // In TLS 1.3, a server refuses a client after the client's handshake has ended.
        sleep(REFUSAL).await;
        if lease.carrier.stream.is_over() {
            let error = Error::BrokenOff {
                endpoint: lease.endpoint.label.clone(),
                why: "it ended the connection after the handshake; does it want a client certificate?".into(),
            };
            lease.failed(Evidence::Unreachable, &error);
            return Err(error);
        }
        if self.config.protocol == Protocol::Http && lease.carrier.stream.is_quiet() {
            self.give_back(lease);
        }
        Ok(())
    }

    /// Keeps the connection for the next request.
    pub(crate) fn give_back(&self, lease: Lease) {
        lease.endpoint.keep(lease.carrier, self.config.times.upstream_idle);
    }

    /// Keeps a new connection for whoever needs one.
    fn keep(&self, endpoint: &Endpoint, link: Link) {
        match link {
            Link::Alone(stream) => endpoint.keep(self.kept(stream), self.config.times.upstream_idle),
            Link::Shared(send, _) => endpoint.shared.add(Connection::new(send, self.retires())),
        }
    }

    fn kept(&self, stream: Stream) -> Kept {
        Kept {
            stream,
            is_light: true,
            retires: self.retires(),
        }
    }

    fn dial(&self, endpoint: InFlight) -> Dial {
        let purpose = match self.config.protocol {
            Protocol::Http2 => Use::Shared {
                most: self.config.max_requests,
            },
            Protocol::Http | Protocol::Tcp | Protocol::Postgres => Use::Alone,
        };
        Dial::start(endpoint, purpose, self.config.times.connect)
    }

    /// A connection to `first`, or to whoever else stands before that one does.
    async fn connect(self: &Rc<Self>, first: InFlight, exchange: &mut Exchange) -> Result<(InFlight, Link), Error> {
        let mut race = Race::new();
        let mut next = Some(first);
        let mut waits_until = None;
        loop {
            if let Some(endpoint) = next.take() {
                race.start(self.dial(endpoint));
            }
            if race.is_over() {
                next = Some(self.pick_later(exchange, &mut waits_until).await?);
                continue;
            }
            match race.next().await {
                Event::Connected(endpoint, link) => {
                    self.connected(&endpoint, &link);
                    // One that is only being tried is not the one to stay with.
                    if !endpoint.is_probe() {
                        self.balancer.stay_with(&endpoint);
                    }
                    race.into_rest().into_iter().for_each(|dial| self.adopt(dial, None));
                    return Ok((endpoint, link));
                }
                Event::Failed(dial, error) => {
                    failed(&dial, &error);
                    let endpoint = &dial.endpoint;
                    exchange.unreached(endpoint.id, &endpoint.label, error.reason(), &error);
                }
                Event::Late => {}
            }
            if race.started() < MAX_DIALS {
                next = self.pick(exchange, &race);
            }
        }
    }

    /// How long a request that has been everywhere waits for news of its cluster: names are asked for when connections fail, and checks that
    /// decide who may be used soon see what is wrong.
    fn news_within(&self) -> Duration {
        let mut checks = self.config.targets.iter().filter_map(|target| target.health.as_ref());
        if checks.any(|check| check.is_required) {
            self.config.times.resolve
        } else if self.cluster.is_looking() {
            LOOK
        } else {
            Duration::ZERO
        }
    }

    /// Waits for news, as long as all waits of a request for them may take together.
    async fn pick_later(
        self: &Rc<Self>,
        exchange: &mut Exchange,
        until: &mut Option<Instant>,
    ) -> Result<InFlight, Error> {
        let until = *until.get_or_insert_with(|| Instant::now() + self.news_within());
        let picked = timeout_at(until, self.pick_of_new(exchange)).await;
        picked.map_err(|_| exchange.exhausted(&self.config.name))
    }

    /// Waits for news, and for an endpoint to try for their sake.
    async fn pick_of_new(self: &Rc<Self>, exchange: &mut Exchange) -> InFlight {
        loop {
            tokio::select! {
                () = self.cluster.looked() => {}
                // Who was down may be back.
                () = self.news.notified() => exchange.forget_unreached(),
            }
            if let Some(endpoint) = self.pick(exchange, &Race::new()) {
                return endpoint;
            }
        }
    }

    /// The endpoint for the next try; `None` when the request has been everywhere, or is on its way.
    fn pick(self: &Rc<Self>, exchange: &Exchange, race: &Race) -> Option<InFlight> {
        let members = self.cluster.members();
        let index = self.balancer.choose(&members, exchange, race)?;
        let mut endpoint = &members[index];
        for due in members.iter() {
            let Standing::Due { evidence, overdue } = due.standing() else {
                continue;
            };
            if evidence.is_refuted_by(self.config.protocol == Protocol::Http2) {
                // Whether it takes connections again, and speaks on them, costs nobody's time.
                if !Rc::ptr_eq(due, endpoint) && self.background.len() < MAX_BACKGROUND {
                    self.adopt(self.dial(InFlight::on(due)), None);
                }
            } else if due.target.priority <= endpoint.target.priority
                && race.is_over()
                && endpoint.standing() == Standing::Well
            {
                // Only somebody's request can tell whether it answers.
                if exchange.may_probe(&self.budget) {
                    return Some(InFlight::trying(due));
                }
                if overdue {
                    endpoint = due;
                }
            }
        }
        Some(InFlight::on(endpoint))
    }

    /// Sees a connection to its end that no request waits for alone. It tells whether the endpoint is there, and may be of use to any request.
    fn adopt(self: &Rc<Self>, mut dial: Dial, opening: Option<Opening>) {
        let service = Rc::clone(self);
        self.background.spawn_local(async move {
            match dial.end().await {
                Ok(link) => {
                    service.connected(&dial.endpoint, &link);
                    // A tunnel needs one of its own.
                    let is_wanted = opening.is_some() || !dial.endpoint.shared.has_room();
                    if service.config.protocol.has_requests() && is_wanted {
                        service.keep(&dial.endpoint, link);
                    }
                }
                // It may only not want another one.
                Err(error) if opening.is_some() && dial.endpoint.shared.is_open() => {
                    tracing::debug!(endpoint = dial.endpoint.label, %error, "no further connection");
                    dial.endpoint.shared.refused();
                }
                Err(error) => {
                    failed(&dial, &error);
                    dial.endpoint.shared.failed(error.reason(), error.to_string());
                }
            }
            drop(opening);
        });
    }

    fn connected(&self, endpoint: &InFlight, link: &Link) {
        endpoint.connected(link.has_spoken());
        if let Some(is_resumed) = link.is_resumed() {
            self.metrics.handshake(is_resumed);
        }
    }

    /// Waits until there is a member that may be used.
    async fn resolved(&self) -> Result<(), Error> {
        if self.has_some() {
            return Ok(());
        }
        let known = async {
            while !self.has_some() {
                tokio::select! {
                    () = self.cluster.looked() => {}
                    () = self.news.notified() => {}
                }
            }
        };
        let waited = timeout(self.config.times.resolve, known).await;
        waited.map_err(|_| self.unfit().unwrap_or_else(|| self.unresolved()))
    }

    fn has_some(&self) -> bool {
        let members = self.cluster.members();
        members.iter().any(|endpoint| endpoint.standing() != Standing::Barred)
    }

    fn unfit(&self) -> Option<Error> {
        let members = self.cluster.members();
        let barred = members
            .iter()
            .filter(|endpoint| endpoint.standing() == Standing::Barred);
        let why: Vec<_> = barred.map(|endpoint| endpoint.why_unfit()).collect();
        (!why.is_empty()).then(|| Error::Unfit {
            service: self.config.name.clone(),
            why: why.join("; "),
        })
    }

    fn unresolved(&self) -> Error {
        Error::Unresolved {
            service: self.config.name.clone(),
            why: self.cluster.why_empty(),
        }
    }

    /// The members, as they are known now.
    pub(crate) fn members(&self) -> Vec<Rc<Endpoint>> {
        self.cluster.members().clone()
    }

    /// Waits until a look-up has ended, and so may have brought members.
    pub(crate) async fn members_looked(&self) {
        self.cluster.looked().await;
    }

    /// A check has made somebody fit, or unfit.
    pub(crate) fn tell_news(&self) {
        self.news.notify_waiters();
    }

    /// When a connection of now is old; not all at the same time.
    fn retires(&self) -> Instant {
        let age = self.config.times.upstream_max_age;
        Instant::now() + age.mul_f64(0.8 + 0.2 * fastrand::f64())
    }

    /// After a try that failed: the request may be sent again, or the error is its answer.
    pub(crate) fn again(&self, exchange: &mut Exchange, failed: Failed<'_>) -> Result<(), Error> {
        match exchange.failed(failed, &self.budget) {
            Verdict::Again => {
                self.metrics.retries.inc();
                Ok(())
            }
            Verdict::Over { error, denied } => {
                if denied {
                    self.metrics.retries_denied.inc();
                }
                Err(error)
            }
        }
    }

    /// Counts and tells that a response ended too early.
    pub(crate) fn cut<C>(&self, lease: &Lease<C>, why: &str) {
        self.metrics.cut.inc();
        if self.may_tell() {
            tracing::warn!(
                service = self.config.name,
                endpoint = lease.endpoint.label,
                why,
                "response cut short; told once a second at most"
            );
        }
    }

    /// Counts and tells that a tunnel did not end by itself.
    pub(crate) fn tunnel_ended(&self, end: tunnel::End) {
        let series = match end {
            tunnel::End::Closed => return,
            tunnel::End::ClientBroke => &self.metrics.aborted,
            tunnel::End::EndpointBroke => &self.metrics.cut,
            tunnel::End::Idle => &self.metrics.idle,
            tunnel::End::Unfit => &self.metrics.unfit,
        };
        series.inc();
        if self.may_tell() {
            let after = self.config.times.idle;
            tracing::info!(service = self.config.name, ?end, idle_timeout = ?after, "tunnel cut; told once a second at most");
        }
    }

    /// Counts and tells that a request ended with an answer of our own.
    pub(crate) fn tell(&self, error: &Error) {
        self.metrics.answered(error.status().0);
        self.failed(error, "answered in the place of the cluster");
    }

    /// Counts an error, and tells it once a second at most: a cluster that is down fails every request.
    pub(crate) fn failed(&self, error: &Error, event: &'static str) {
        self.metrics.failed(error.reason());
        if self.may_tell() {
            tracing::warn!(service = self.config.name, reason = error.reason().name(), %error, "{event}; told once a second at most");
        }
    }

    /// Tells that clients have to wait for a place, once a minute at most.
    pub(crate) fn tell_full(&self) {
        if may_tell(&self.told_full_at, Duration::from_secs(60)) {
            tracing::warn!(
                service = self.config.name,
                limit = "max-connections",
                value = self.config.max_connections,
                "limit reached: further clients wait for a second, and are refused then"
            );
        }
    }

    /// True once a second at most.
    pub(crate) fn may_tell(&self) -> bool {
        may_tell(&self.told_at, Duration::from_secs(1))
    }

    /// Closes connections that nobody needed for a while.
    pub(crate) fn sweep(&self) {
        self.cluster
            .members()
            .iter()
            .for_each(|endpoint| endpoint.sweep(self.config.times.upstream_idle));
    }
}

/// True once in `every` at most.
fn may_tell(told_at: &Cell<Option<Instant>>, every: Duration) -> bool {
    let now = Instant::now();
    let may = told_at.get().is_none_or(|at| now - at >= every);
    if may {
        told_at.set(Some(now));
    }
    may
}

fn failed(dial: &Dial, error: &DialError) {
    if !matches!(error, DialError::OutOfFiles(_) | DialError::Own(_)) {
        dial.endpoint.failed(Evidence::Unreachable, dial.began, error);
    }
}
