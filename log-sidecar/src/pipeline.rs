//! Who owns what: the reader thread, the workers of the sink, the admin side, and the order in which they end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use pod_contract::admin::{self, Admin};
use pod_contract::metrics;
use pod_contract::run::greet::greet;
use pod_contract::run::lifecycle::{self, CancellationToken};
use pod_contract::run::ready::Ready;
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::config::Config;
use crate::deliver::{DeadLetter, Delivery};
use crate::ledger::Ledger;
use crate::mailbox::Mailbox;
use crate::reader::{MAX_BATCHES, Reader, open_checkpoint};
use crate::sink::Sink;

/// What the admin side calls itself.
const SERVER: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Runs until SIGTERM, then reads to the end, delivers, and returns.
pub fn run(config: Config, words: LastWords) -> Result<(), Failure> {
    let ledger = Ledger::default();
    let left = ledger.clone();
    lifecycle::run(
        config.grace,
        &words,
        move || left.summary(),
        |stop| serve(config, ledger, stop),
    )
}

async fn serve(config: Config, ledger: Ledger, stop: CancellationToken) -> Result<(), Failure> {
    let ready = Ready::default();
    let (scanned, greeted) = (ready.latch("first look at the files"), ready.latch("sink"));
    let admin = admin::listen(config.admin).await?;
    let checkpoint = open_checkpoint(config.state.as_deref())?;

    let mut registry = metrics::registry("log", env!("CARGO_PKG_VERSION"));
    ledger.register(&mut registry);
    let mailbox = Arc::new(Mailbox::default());
    let (sender, receiver) = mpsc::channel(MAX_BATCHES);
    let reader = Reader::new(
        config.reading.clone(),
        checkpoint,
        Arc::clone(&mailbox),
        ledger.clone(),
        sender,
        scanned,
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
    let sink = new_sink(&config);
    side.spawn_local(greet(greeted, async move || sink.greet().await));
    let mut workers = start_workers(&config, receiver, &mailbox, &ledger);

    tokio::select! {
        () = stop.cancelled() => {}
        Some(_) = workers.join_next() => return Err(Failure::failed("a worker of the sink ended by itself; this is a bug")),
        _ = reader_ended => return Err(Failure::failed("the reader thread ended by itself; this is a bug")),
    }
    mailbox.post(|news| news.drain = true);
    while workers.join_next().await.is_some() {}
    // The channel is closed, so the reader has nothing out: it writes the checkpoint and ends.
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    if !matches!(joined, Ok(Ok(()))) {
        return Err(Failure::failed("the reader thread panicked; this is a bug"));
    }
    done.cancel();
    tracing::info!(ledger = ledger.summary(), "stopped");
    if ledger.cut_off.load(Ordering::Relaxed) {
        return Err(Failure::failed(format!("stopped before the writers did: {}", ledger.summary())).remedy("raise --grace together with the pod's terminationGracePeriodSeconds; with --state, the next run goes on from there"));
    }
    Ok(())
}

fn start_workers(
    config: &Config,
    receiver: mpsc::Receiver<Batch>,
    mailbox: &Arc<Mailbox>,
    ledger: &Ledger,
) -> JoinSet<()> {
    let receiver = Rc::new(Mutex::new(receiver));
    let dead_letter = DeadLetter::new(config.state.as_deref(), config.delivery.dead_letter_max);
    let dead_letter = Rc::new(RefCell::new(dead_letter));
    let accepted = Rc::new(Cell::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..Sink::workers(&config.delivery.target) {
        let delivery = Delivery {
            sink: new_sink(config),
            ledger: ledger.clone(),
            dead_letter: Rc::clone(&dead_letter),
            accepted: Rc::clone(&accepted),
            retry_max: config.delivery.retry_max,
        };
        workers.spawn_local(work(delivery, Rc::clone(&receiver), Arc::clone(mailbox)));
    }
    workers
}

fn new_sink(config: &Config) -> Sink {
    Sink::new(&config.delivery.target, config.delivery.request_timeout)
}

async fn work(mut delivery: Delivery, batches: Rc<Mutex<mpsc::Receiver<Batch>>>, mailbox: Arc<Mailbox>) {
    loop {
        let batch = batches.lock().await.recv().await;
        let Some(batch) = batch else { return };
        delivery.deliver(&batch).await;
        let bytes = batch.bytes();
        let settled = batch.into_settled();
        mailbox.post(|news| news.settled.push((settled, bytes)));
    }
}
