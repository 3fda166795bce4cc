//! Who owns what: a route for each sink, the admin side, and the order in which they end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pod_contract::admin::{self, Admin};
use pod_contract::metrics;
use pod_contract::run::lifecycle::CancellationToken;
use pod_contract::run::ready::Ready;
use pod_contract::start::exit::Failure;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use crate::config::{self, Shipping};
use crate::ledger::{self, Ledger};
use crate::route::Route;
use crate::state;

/// What the admin side calls itself.
const SERVER: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// How often the file that ends a Job is looked for.
const LOOK_FOR_END: Duration = Duration::from_millis(500);

/// Runs until SIGTERM, then every route reads to the end and delivers.
pub(crate) async fn ship(
    shipping: Shipping,
    routes: Vec<config::Route>,
    state: Option<PathBuf>,
    ledgers: Vec<Ledger>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let ready = Ready::default();
    let admin = admin::listen(shipping.admin).await?;
    let mut registry = metrics::registry("log", env!("CARGO_PKG_VERSION"));
    ledger::register(&ledgers, &mut registry);
    let _lock = state::open(state.as_deref(), &routes)?;
    let (halt, mut running) = (CancellationToken::new(), JoinSet::new());
    let mut opened = Vec::new();
    for (route, ledger) in routes.into_iter().zip(ledgers) {
        let span = route.span();
        let route = span.in_scope(|| Route::open(route, ledger, &ready))?;
        opened.push((route, span));
    }
    // Only when all of them can: a start that fails sends nothing.
    for (route, span) in opened {
        running.spawn_local(route.run(halt.clone()).instrument(span));
    }
    let done = CancellationToken::new();
    let mut side = JoinSet::new();
    side.spawn_local(admin.serve(
        Admin {
            server: SERVER,
            ready,
            registry,
        },
        done.clone(),
    ));

    tokio::select! {
        () = stop.cancelled() => {}
        () = appears(shipping.exit_when.as_deref()) => {
            tracing::info!("the file of --exit-when-file is there");
            stop.cancel();
        }
        Some(ended) = running.join_next() => return outcome(ended, "shipping"),
    }
    halt.cancel();
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        result = both(result, outcome(ended, "shipping"));
    }
    done.cancel();
    result
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
pub(crate) fn outcome(ended: Result<Result<(), Failure>, JoinError>, what: &str) -> Result<(), Failure> {
    ended.unwrap_or_else(|_| Err(Failure::failed(format!("{what} panicked; this is a bug"))))
}

/// Waits until there is such a file; without one, for ever.
async fn appears(path: Option<&Path>) {
    let Some(path) = path else {
        return std::future::pending().await;
    };
    while !path.exists() {
        tokio::time::sleep(LOOK_FOR_END).await;
    }
}
