//! SIGTERM and SIGINT: say so, and end.
//!
//! As PID 1 a process has no default action for signals: without a handler, SIGTERM would wait for SIGKILL. Whatever the moment,
//! what is published is whole, and a next run would sweep what is staged; but there may be none, so what is staged is removed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Trees are walked by recursion, as deep as a path is long. Memory is taken as it is used.
const STACK: usize = 16 << 20;
/// For removing what is staged: well within the usual 30 s.
const CLEAN_UP: Duration = Duration::from_secs(8);

static STOPPING: AtomicBool = AtomicBool::new(false);
static STAGED: AtomicUsize = AtomicUsize::new(0);

/// Is the process told to stop? Asked between two files and between two pieces of one.
pub(crate) fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

/// While it lives, there is something staged that its owner removes.
#[derive(Debug)]
pub(crate) struct Staged(());

impl Staged {
    pub(crate) fn something() -> Self {
        STAGED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        STAGED.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Event {
    Done(Result<(), Failure>),
    Signal(i32),
}

/// Does `work` on a thread of its own, and returns its result, or a failure as soon as a signal comes, which tells what it was at.
pub(crate) fn until_stopped(
    words: &LastWords,
    work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let (events, next) = sync_channel(4);
    watch(events.clone())?;
    thread::Builder::new()
        .name("work".into())
        .stack_size(STACK)
        .spawn(move || drop(events.send(Event::Done(work()))))
        .map_err(|e| Failure::failed(format!("cannot start a thread: {e}")))?;
    match next.recv() {
        Ok(Event::Done(result)) => result,
        Ok(Event::Signal(signal)) => {
            STOPPING.store(true, Ordering::SeqCst);
            // A second signal ends it at once.
            if STAGED.load(Ordering::SeqCst) > 0
                && let Ok(Event::Done(Ok(()))) = next.recv_timeout(CLEAN_UP)
            {
                return Ok(());
            }
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            let code = u8::try_from(128 + signal).unwrap_or(pod_contract::start::exit::FAILED);
            let at = match words.so_far() {
                so_far if so_far.is_empty() => so_far,
                so_far => format!(": {so_far}"),
            };
            Err(Failure::new(code, format!("stopped by {name} before it was done{at}"))
                .remedy("what is visible is whole, and the next run goes on; was the pod's deadline too short?"))
        }
        Err(_) => Err(Failure::failed("the work ended without a result")),
    }
}

fn watch(events: SyncSender<Event>) -> Result<(), Failure> {
    let fail = |e: std::io::Error| Failure::failed(format!("cannot handle signals: {e}"));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(fail)?;
    thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || {
            for signal in signals.forever() {
                drop(events.send(Event::Signal(signal)));
            }
        })
        .map(drop)
        .map_err(fail)
}
