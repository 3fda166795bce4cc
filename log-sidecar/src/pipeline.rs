//! Who owns what: the reader thread, the workers of the sink, the admin side, and the order in which they end.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use pod_contract::admin::{self, Admin};
use pod_contract::metrics::{self, Registry};
use pod_contract::run::greet::greet;
use pod_contract::run::lifecycle::CancellationToken;
use pod_contract::run::ready::Ready;
use pod_contract::start::exit::Failure;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::config::{self, Shipping};
use crate::deliver::{DeadLetter, Delivery};
use crate::ledger::Ledger;
use crate::mailbox::Mailbox;
use crate::reader::{LEAST_BLOCK, MAX_BATCHES, MAX_HELD, Reader, SPARE_BLOCKS, open_checkpoint};
use crate::recycle::Pool;
use crate::sink::Sink;

/// What the admin side calls itself.
const SERVER: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// How often the file that ends a Job is looked for.
const LOOK_FOR_END: Duration = Duration::from_millis(500);

/// Memory that nobody has needed for so long is given back.
const REST: Duration = Duration::from_secs(1);

/// Runs until SIGTERM, then reads to the end, delivers, and returns.
pub(crate) async fn ship(
    shipping: Shipping,
    config: config::Delivery,
    state: Option<PathBuf>,
    ledger: Ledger,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let exit_when = shipping.exit_when.clone();
    let ready = Ready::default();
    let (scanned, greeted) = (ready.latch("first look at the files"), ready.latch("sink"));
    let admin = admin::listen(shipping.admin).await?;
    let checkpoint = open_checkpoint(state.as_deref())?;

    let mut registry = metrics::registry("log", env!("CARGO_PKG_VERSION"));
    ledger.register(&mut registry);
    warn_of_what_is_open(&config, &mut registry);
    let mailbox = Arc::new(Mailbox::default());
    let (sender, receiver) = mpsc::channel(MAX_BATCHES);
    let blocks = Pool::new(LEAST_BLOCK, SPARE_BLOCKS);
    let reader = Reader::new(
        shipping.reading,
        checkpoint,
        Arc::clone(&mailbox),
        ledger.clone(),
        sender,
        scanned,
        Arc::clone(&blocks),
    );
    let (ended, reader_ended) = oneshot::channel::<()>();
    let thread = thread::Builder::new().name("reader".into()).spawn(move || {
        // Dropped also when the thread panics: whoever waits for it is told.
        let _ended = ended;
        reader.run();
    });
    let thread = thread.map_err(|e| Failure::failed(format!("cannot start the reader thread: {e}")))?;

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
    let delivery = Rc::new(new_delivery(&config, state.as_deref(), &ledger));
    let greeting = Rc::clone(&delivery);
    side.spawn_local(greet(greeted, async move || greeting.sink.greet().await));
    let mut shipped = Box::pin(deliver_all(delivery, receiver, mailbox.clone(), blocks));

    tokio::select! {
        () = stop.cancelled() => {}
        () = appears(exit_when.as_deref()) => tracing::info!("the file of --exit-when-file is there: stopping"),
        result = &mut shipped => return Err(result.err().unwrap_or_else(|| Failure::failed("the reader thread ended by itself; this is a bug"))),
        _ = reader_ended => return Err(Failure::failed("the reader thread ended by itself; this is a bug")),
    }
    mailbox.post(|news| news.drain = true);
    shipped.await?;
    // The channel is closed, so the reader has nothing out: it writes the checkpoint and ends.
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    if !matches!(joined, Ok(Ok(()))) {
        return Err(Failure::failed("the reader thread panicked; this is a bug"));
    }
    done.cancel();
    tracing::info!(ledger = ledger.summary(), "stopped");
    if ledger.lost.get() > 0 {
        let failure = Failure::failed(format!("records were lost: {}", ledger.summary()));
        return Err(failure.remedy(
            "raise --dead-letter-max, or mend what the sink refuses and run log-sidecar replay before the file is full",
        ));
    }
    if ledger.cut_off.load(Ordering::Relaxed) {
        return Err(Failure::failed(format!("stopped before everything was read: {}", ledger.summary())).remedy("if files were still written to, raise --grace together with the pod's terminationGracePeriodSeconds; if some cannot be read, the log says why; with --state, the next run goes on from there"));
    }
    Ok(())
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

pub(crate) fn new_delivery(config: &config::Delivery, state: Option<&Path>, ledger: &Ledger) -> Delivery {
    Delivery::new(
        Sink::new(&config.target, config.network.clone(), &config.shape),
        ledger.clone(),
        DeadLetter::new(state, config.dead_letter_max),
        config.retry_max,
        config.all_refused,
    )
}

fn warn_of_what_is_open(config: &config::Delivery, registry: &mut Registry) {
    let unverified = Gauge::<i64>::default();
    unverified.set(i64::from(config.is_insecure));
    let registry = registry.sub_registry_with_prefix("log");
    registry.register(
        "tls_unverified",
        "1 when any server is believed to be the sink",
        unverified,
    );
    if config.is_insecure {
        tracing::warn!(
            "--tls-insecure: any server is believed to be the sink; whoever is on the way reads every record"
        );
    }
    if let Some(server) = config.target.server()
        && config.network.login.is_some()
        && !server.is_encrypted
        && !server.is_local
    {
        tracing::warn!(
            sink = server.origin,
            "the login goes over http: whoever is on the way reads it; use https"
        );
    }
}

/// Delivers what comes, until nothing comes any more and all is settled.
async fn deliver_all(
    delivery: Rc<Delivery>,
    mut batches: mpsc::Receiver<Batch>,
    mailbox: Arc<Mailbox>,
    blocks: Arc<Pool>,
) -> Result<(), Failure> {
    let most = delivery.batches(MAX_BATCHES + MAX_HELD);
    let mut under_way = JoinSet::new();
    let mut is_open = true;
    while is_open || !under_way.is_empty() {
        tokio::select! {
            batch = batches.recv(), if is_open && under_way.len() < most => match batch {
                Some(batch) => drop(under_way.spawn_local(settle(Rc::clone(&delivery), batch, Arc::clone(&mailbox)))),
                None => is_open = false,
            },
            Some(ended) = under_way.join_next() => {
                ended.map_err(|_| Failure::failed("delivering a batch panicked; this is a bug"))?;
            }
            () = tokio::time::sleep(REST), if under_way.is_empty() && (!blocks.is_empty() || delivery.sink.spare().is_some_and(|bodies| !bodies.is_empty())) => {
                blocks.clear();
                delivery.sink.spare().map(Pool::clear);
            }
        }
    }
    Ok(())
}

async fn settle(delivery: Rc<Delivery>, batch: Batch, mailbox: Arc<Mailbox>) {
    let bytes = batch.bytes();
    let hold = |is_held| {
        let sign = if is_held { 1 } else { -1 };
        mailbox.post(|news| news.held = (news.held.0 + sign, news.held.1 + sign * bytes.cast_signed()));
    };
    delivery.deliver(&batch, &hold).await;
    let settled = batch.into_settled();
    mailbox.post(|news| news.settled.push((settled, bytes)));
}
