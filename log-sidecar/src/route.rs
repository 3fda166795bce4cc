//! One sink: the thread that reads for it, the delivery of what was read, and the order in which they end.

use std::cell::Cell;
use std::future::poll_fn;
use std::mem;
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use pod_contract::aws::Origin;
use pod_contract::run::greet::greet;
use pod_contract::run::lifecycle::CancellationToken;
use pod_contract::run::ready::{Latch, Ready};
use pod_contract::start::exit::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument as _;

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Positions};
use crate::config;
use crate::deliver::{DeadLetter, Delivery};
use crate::lease::Leases;
use crate::ledger::Ledger;
use crate::mailbox::Mailbox;
use crate::reader::{Held, LEAST_BLOCK, Legacy, MAX_BATCHES, MAX_HELD, Reader, SPARE_BLOCKS, Start, open_checkpoint};
use crate::recycle::Pool;
use crate::sink::{Sink, Target};

/// Memory that nobody has needed for so long is given back.
const REST: Duration = Duration::from_secs(1);

/// What is out when others are to go on is waited for so long.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How a route is told to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Halt {
    /// After all is read.
    pub(crate) drain: CancellationToken,
    /// Another one goes on.
    pub(crate) hand_over: CancellationToken,
}

/// All that one sink needs; it shares nothing with the others, so that none waits for another.
pub(crate) struct Route {
    config: config::Route,
    ledger: Ledger,
    checkpoint: (Checkpoint, Option<Positions>, Vec<Held>),
    ready: Ready,
    scanned: Latch,
    /// None if the sink was met before.
    greeted: Option<Latch>,
}

impl Route {
    /// Opens what it needs. `before` is where another one of its sink was that has ended in this process.
    pub(crate) fn open(
        mut config: config::Route,
        ledger: Ledger,
        ready: &Ready,
        before: Option<Legacy>,
    ) -> Result<Self, Failure> {
        let of = |what: &str| match &config.name {
            Some(name) => format!("{what} {name}"),
            None => what.to_owned(),
        };
        let met = before.as_ref().and_then(|before| before.met.as_ref());
        let is_met = met == Some(&config.delivery.target);
        let scanned = ready.latch(of("first look at the files"));
        let greeted = (!is_met).then(|| ready.latch(of("sink")));
        warn_of_what_is_open(&config.delivery, &ledger);
        let (checkpoint, positions) = open_checkpoint(config.state.as_deref())?;
        let checkpoint = match before {
            // Whatever is on disk, and whatever was to be at the start: it goes on.
            Some(Legacy { positions, held, .. }) => {
                config.reading.start = Start::Checkpoint;
                (checkpoint, Some(positions), held)
            }
            None => (checkpoint, positions, Vec::new()),
        };
        Ok(Self {
            config,
            ledger,
            checkpoint,
            ready: ready.clone(),
            scanned,
            greeted,
        })
    }

    /// Ships until it is halted, then reads to the end, delivers, and returns; or returns as soon as what is out is settled, or given up.
    pub(crate) async fn run(self, halt: Halt) -> Result<(Option<Arc<str>>, Legacy), Failure> {
        let (config, ledger) = (self.config, self.ledger);
        let mailbox = Arc::new(Mailbox::default());
        let (sender, receiver) = mpsc::channel(2 * MAX_BATCHES);
        let blocks = Pool::new(LEAST_BLOCK, SPARE_BLOCKS);
        let delivery = Rc::new(new_delivery(&config.delivery, config.state.as_deref(), &ledger));
        let reader = Reader::new(
            config.reading,
            self.checkpoint,
            Arc::clone(&mailbox),
            ledger.clone(),
            sender,
            (self.ready, self.scanned),
            (Arc::clone(&blocks), leases()),
        );
        let (ended, reader_ended) = oneshot::channel::<()>();
        let span = tracing::Span::current();
        let thread = thread::Builder::new().name("reader".into()).spawn(move || {
            // Dropped also when the thread panics: whoever waits for it is told.
            let _ended = ended;
            span.in_scope(|| reader.run())
        });
        let thread = thread.map_err(|e| Failure::failed(format!("cannot start the reader thread: {e}")))?;

        let mut side = JoinSet::new();
        let is_met = Rc::new(Cell::new(self.greeted.is_none()));
        if let Some(latch) = self.greeted {
            let (greeting, is_met) = (Rc::clone(&delivery), Rc::clone(&is_met));
            let greeted = async move {
                greet(latch, async || greeting.sink.greet().await).await;
                is_met.set(true);
            };
            side.spawn_local(greeted.in_current_span());
        }
        let mut shipped = Box::pin(deliver_all(delivery, receiver, mailbox.clone(), blocks));

        let is_over = tokio::select! {
            () = halt.drain.cancelled() => false,
            () = halt.hand_over.cancelled() => true,
            result = &mut shipped => return Err(result.err().unwrap_or_else(|| Failure::failed("the reader thread ended by itself; this is a bug"))),
            _ = reader_ended => return Err(Failure::failed("the reader thread ended by itself; this is a bug")),
        };
        if is_over {
            mailbox.post(|news| news.hand_over = true);
            match timeout(HAND_OVER, &mut shipped).await {
                Ok(ended) => ended?,
                Err(_) => mailbox.post(|news| news.abandon = true),
            }
        } else {
            mailbox.post(|news| news.drain = true);
            (&mut shipped).await?;
        }
        // The reader has nothing out, or has given it up: it writes the checkpoint and ends.
        drop(shipped);
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        let Ok(Ok(legacy)) = joined else {
            return Err(Failure::failed("the reader thread panicked; this is a bug"));
        };
        if is_over {
            ledger.given_back.inc_by(ledger.in_flight());
        } else {
            conclude(&ledger)?;
        }
        let met = is_met.get().then_some(config.delivery.target);
        Ok((config.name, Legacy { met, ..legacy }))
    }
}

fn leases() -> Option<Leases> {
    let leases = Leases::new();
    let told = leases.inspect_err(|error| tracing::warn!(%error, "cannot see who writes to a file: only time tells"));
    told.ok()
}

fn conclude(ledger: &Ledger) -> Result<(), Failure> {
    tracing::info!(ledger = ledger.summary(), "stopped");
    if ledger.lost.get() > 0 {
        let failure = Failure::failed(format!("records were lost: {}", ledger.summary()));
        return Err(failure.remedy(
            "raise --dead-letter-max, or mend what the sink refuses and run log-sidecar replay before the file is full",
        ));
    }
    if ledger.lost_bytes.get() > 0 {
        let failure = Failure::failed(format!("lines are lost that were never read: {}", ledger.summary()));
        return Err(failure.remedy(
            "the log says in which files; let rotation rename them instead of truncating them, and keep more of them while the sink is away",
        ));
    }
    if ledger.cut_off.load(Ordering::Relaxed) {
        return Err(Failure::failed(format!("stopped before everything was read: {}", ledger.summary())).remedy("if files were still written to, raise --grace together with the pod's terminationGracePeriodSeconds; if some cannot be read, the log says why; with --state, the next run goes on from there"));
    }
    Ok(())
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

fn warn_of_what_is_open(config: &config::Delivery, ledger: &Ledger) {
    ledger.tls_unverified.set(i64::from(config.is_insecure));
    if config.is_insecure {
        tracing::warn!(
            "--tls-insecure: any server is believed to be the sink; whoever is on the way reads every record"
        );
    }
    let keys = &config.network.buckets.origin;
    match config.target {
        Target::S3(_) if *keys == Origin::Anonymous => {
            tracing::warn!("there are no keys for the bucket: only one that anybody may write to takes objects");
        }
        Target::S3(_) if !config.network.buckets.is_encrypted() => {
            tracing::warn!(
                "lines go to the bucket over http, and keys for a while with them: whoever is on the way reads both; use https"
            );
        }
        _ => {}
    }
    // Forward sends a digest for this connection only.
    if let Some(server) = config.target.server()
        && !matches!(config.target, Target::Forward(_))
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
    // Mostly there is one, and its place is used again: a task for each would be a page that comes and goes.
    let mut only = pin!(None);
    let mut is_open = true;
    // One timer for many batches: to set one wakes the thread.
    let mut rest = pin!(sleep(REST));
    let (mut is_timed, mut is_used) = (false, false);
    while is_open || only.is_some() || !under_way.is_empty() {
        tokio::select! {
            batch = batches.recv(), if is_open && under_way.len() + usize::from(only.is_some()) < most => match batch {
                Some(batch) => {
                    is_used = true;
                    if !mem::replace(&mut is_timed, true) {
                        rest.as_mut().reset(Instant::now() + REST);
                    }
                    let settled = settle(Rc::clone(&delivery), batch, Arc::clone(&mailbox));
                    if only.is_none() {
                        only.set(Some(settled));
                    } else {
                        under_way.spawn_local(settled.in_current_span());
                    }
                }
                None => is_open = false,
            },
            () = poll_fn(|context| poll_in(only.as_mut(), context)), if only.is_some() => only.set(None),
            Some(ended) = under_way.join_next() => {
                ended.map_err(|_| Failure::failed("delivering a batch panicked; this is a bug"))?;
            }
            () = &mut rest, if is_timed => {
                is_timed = mem::take(&mut is_used) || only.is_some() || !under_way.is_empty();
                if is_timed {
                    rest.as_mut().reset(Instant::now() + REST);
                } else {
                    blocks.clear();
                    delivery.sink.spare().map(Pool::clear);
                }
            }
        }
    }
    Ok(())
}

/// What is in an empty place is never ready.
fn poll_in<F: Future>(place: Pin<&mut Option<F>>, context: &mut Context<'_>) -> Poll<F::Output> {
    place.as_pin_mut().map_or(Poll::Pending, |future| future.poll(context))
}

async fn settle(delivery: Rc<Delivery>, batch: Batch, mailbox: Arc<Mailbox>) {
    let bytes = batch.bytes();
    let hold = |is_held| {
        let sign = if is_held { 1 } else { -1 };
        mailbox.post(|news| {
            news.held = (news.held.0 + sign, news.held.1 + sign * bytes.cast_signed());
            let files = batch
                .segments
                .iter()
                .map(|segment| (Arc::clone(&segment.source), is_held));
            news.held_files.extend(files);
        });
    };
    delivery.deliver(&batch, &hold).await;
    let done = batch.into_done();
    mailbox.post(|news| news.settled.push(done));
}

/// Asks each sink whether it is there and knows us; nothing is sent.
pub(crate) async fn greet_all(routes: Vec<config::Route>) -> Result<(), Failure> {
    let mut unmet = Vec::new();
    for route in routes {
        let name = route.name.map_or("the sink".into(), |name| format!("the sink {name}"));
        let sink = Sink::new(&route.delivery.target, route.delivery.network, &route.delivery.shape);
        match sink.greet().await {
            Ok(()) => tracing::info!("{name} is there"),
            Err(why) => unmet.push(format!("{name} is not there: {why}")),
        }
    }
    if unmet.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(unmet.join("; ")))
    }
}
