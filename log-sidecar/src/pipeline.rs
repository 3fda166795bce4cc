//! Who owns what: a route for each sink, the admin side, and the order in which they end.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pod_contract::admin::{self, Admin};
use pod_contract::metrics;
use pod_contract::run::lifecycle::CancellationToken;
use pod_contract::run::ready::Ready;
use pod_contract::run::reload::Reload;
use pod_contract::start::cli::Again;
use pod_contract::start::exit::Failure;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use crate::config::{self, Config, Shipping, Task};
use crate::ending::ExitWhen;
use crate::ledger::{self, Ledgers};
use crate::reader::Legacy;
use crate::route::{Halt, Route};
use crate::state;

/// What the admin side calls itself.
const SERVER: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Until it is tried again what cannot be done now.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What may change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) routes: Vec<config::Route>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) exit_when: Option<ExitWhen>,
}

impl Setup {
    pub(crate) fn new(shipping: Shipping, routes: Vec<config::Route>, state: Option<PathBuf>) -> Self {
        Self {
            routes,
            state,
            exit_when: shipping.exit_when,
        }
    }
}

/// Where a route was that has ended, by the name of its sink.
type Position = (Option<Arc<str>>, Legacy);

/// Runs until SIGTERM, then every route reads to the end and delivers. New settings take the place of the old ones in between.
pub(crate) async fn ship(
    admin: Option<SocketAddr>,
    grace: Duration,
    setup: Setup,
    ledgers: Ledgers,
    stop: CancellationToken,
    again: Again<'_, Config>,
) -> Result<(), Failure> {
    let fixed = (admin, grace);
    let mut reload =
        Reload::new(again).map_err(|error| Failure::failed(format!("cannot listen to SIGHUP: {error}")))?;
    let ready = Ready::default();
    let admin = admin::listen(admin).await?;
    let mut registry = metrics::registry("log", env!("CARGO_PKG_VERSION"));
    ledger::register(&ledgers, &mut registry);
    reload.register(&mut registry, "log");
    let mut running = Running::start(&setup, &ledgers, &ready, &[])?;
    let done = CancellationToken::new();
    let mut side = JoinSet::new();
    let shown = Admin {
        server: SERVER,
        ready: ready.clone(),
        registry,
    };
    side.spawn_local(admin.serve(shown, done.clone()));

    let mut current = setup;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = comes(current.exit_when.as_ref(), &ledgers) => {
                stop.cancel();
                break;
            }
            Some(ended) = running.routes.join_next() => return Err(too_early(ended)),
            Some(setup) = next_setup(&mut reload, fixed) => {
                let ended = running.hand_over().await?;
                running = match Running::start(&setup, &ledgers, &ready, &ended) {
                    Ok(running) => {
                        current = setup;
                        running
                    }
                    Err(failure) => {
                        reload.has_failed();
                        tracing::error!("the new settings cannot be used, and the old ones stay: {failure}");
                        Running::go_on(&current, &ledgers, &ready, &ended, &stop).await?
                    }
                };
            }
        }
    }
    let result = running.drain().await;
    done.cancel();
    result
}

/// `fixed` are the settings that stay.
async fn next_setup(reload: &mut Reload<'_, Config>, fixed: (Option<SocketAddr>, Duration)) -> Option<Setup> {
    let Config { task, state, grace } = reload.next().await;
    let Task::Ship(shipping, mut routes) = task else {
        return None;
    };
    if (shipping.admin, grace) != fixed {
        tracing::warn!("admin and grace stay as they were at the start");
    }
    routes.iter_mut().for_each(|route| route.reading.within(fixed.1));
    Some(Setup::new(shipping, routes, state))
}

fn too_early(ended: Result<Result<Position, Failure>, JoinError>) -> Failure {
    match outcome(ended, "shipping") {
        Err(failure) => failure,
        Ok(_) => Failure::failed("shipping ended by itself; this is a bug"),
    }
}

/// The routes, and what tells them to end.
struct Running {
    routes: JoinSet<Result<Position, Failure>>,
    halt: Halt,
    /// On the state directory of several.
    _lock: Option<File>,
}

impl Running {
    /// `ended` are those before them.
    fn start(setup: &Setup, ledgers: &Ledgers, ready: &Ready, ended: &[Position]) -> Result<Self, Failure> {
        let lock = state::open(setup.state.as_deref(), &setup.routes)?;
        let own = ledgers.of(setup.routes.iter().map(|route| route.name.as_ref()));
        let mut opened = Vec::new();
        for (route, ledger) in setup.routes.iter().cloned().zip(own.iter().cloned()) {
            let span = route.span();
            let before = ended.iter().find(|(name, _)| *name == route.name);
            let before = before.map(|(_, legacy)| legacy.again()).transpose()?;
            let route = span.in_scope(|| Route::open(route, ledger, ready, before))?;
            opened.push((route, span));
        }
        ledgers.keep(&own);
        // Only when all of them can: a start that fails sends nothing.
        let (halt, mut routes) = (Halt::default(), JoinSet::new());
        for (route, span) in opened {
            routes.spawn_local(route.run(halt.clone()).instrument(span));
        }
        Ok(Self {
            routes,
            halt,
            _lock: lock,
        })
    }

    /// The same as often as it takes: what was possible before may be again.
    async fn go_on(
        setup: &Setup,
        ledgers: &Ledgers,
        ready: &Ready,
        ended: &[Position],
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let _unready = ready.latch("settings that can be used");
        loop {
            match Self::start(setup, ledgers, ready, ended) {
                Err(failure) if stop.is_cancelled() => return Err(failure),
                Err(failure) => tracing::error!("nothing is shipped, and it is tried again: {failure}"),
                Ok(running) => return Ok(running),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(TRY_AGAIN) => {}
            }
        }
    }

    /// Everything is read, and delivered.
    async fn drain(mut self) -> Result<(), Failure> {
        self.halt.drain.cancel();
        let mut result = Ok(());
        while let Some(ended) = self.routes.join_next().await {
            result = both(result, outcome(ended, "shipping").map(drop));
        }
        result
    }

    /// Others go on from where these are.
    async fn hand_over(mut self) -> Result<Vec<Position>, Failure> {
        self.halt.hand_over.cancel();
        let mut all = Vec::new();
        while let Some(ended) = self.routes.join_next().await {
            all.push(outcome(ended, "shipping")?);
        }
        Ok(all)
    }
}

/// One failure that tells of all.
pub(crate) fn both(one: Result<(), Failure>, other: Result<(), Failure>) -> Result<(), Failure> {
    match (one, other) {
        (Err(mut one), Err(other)) => {
            one.cause = format!("{}; {}", one.cause, other.cause);
            if !one.remedy.contains(&other.remedy) {
                one.remedy = format!("{}; {}", one.remedy, other.remedy);
            }
            Err(one)
        }
        (one, other) => one.and(other),
    }
}

/// Of a task that does `what`.
pub(crate) fn outcome<T>(ended: Result<Result<T, Failure>, JoinError>, what: &str) -> Result<T, Failure> {
    ended.unwrap_or_else(|_| Err(Failure::failed(format!("{what} panicked; this is a bug"))))
}

/// Waits for what ends it; if nothing does, for ever.
async fn comes(end: Option<&ExitWhen>, ledgers: &Ledgers) {
    match end {
        Some(end) => end.holds(ledgers).await,
        None => std::future::pending().await,
    }
}
