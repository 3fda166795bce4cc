//! From start to exit: one single-threaded runtime, SIGTERM and SIGINT as a token, a deadline for the drain.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, LocalSet};
use tokio::time;
pub use tokio_util::sync::CancellationToken;

use super::limits::raise_open_files;
use crate::metrics::panics;
use crate::start::exit::Failure;
use crate::start::last_words::LastWords;

/// A native sidecar is told to stop only after the application has, and is killed when the pod's period, usually 30 s, is over: of that
/// it gets what the application has left. Its writers and clients are gone by then, so what is left to do is short.
/// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// While draining, what is left is looked at so often.
const TELL_INTERVAL: Duration = Duration::from_millis(200);

/// Runs `main` on a single-threaded runtime until it returns.
///
/// On SIGTERM or SIGINT the token given to `main` is cancelled (`main` may do that itself); `main` then drains and returns. After `grace`, or on a second signal,
/// the process gives up on what `left` names and ends with an error. Nobody knows whether SIGKILL comes earlier: so `left` is the
/// termination message from the signal on, and what it says at the end stays there.
pub fn run<F: Future<Output = Result<(), Failure>>>(
    grace: Duration,
    words: &LastWords,
    left: impl Fn() -> String,
    main: impl FnOnce(CancellationToken) -> F,
) -> Result<(), Failure> {
    raise_open_files();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(start_failure)?;
    let result = LocalSet::new().block_on(&runtime, async {
        let mut signals = Signals::new().map_err(start_failure)?;
        let stop = CancellationToken::new();
        let main = main(stop.clone());
        tokio::pin!(main);
        tokio::select! {
            result = &mut main => return result,
            name = signals.next() => tracing::info!(signal = name, ?grace, "stopping"),
            () = stop.cancelled() => tracing::info!(?grace, "stopping"),
        }
        stop.cancel();
        tokio::select! {
            biased;
            never = tell(words, &left) => match never {},
            result = time::timeout(grace, main) => match result {
                Ok(result) => result.inspect(|()| words.done(&format!("stopped: {}", left()))),
                Err(_) => Err(Failure::failed(format!("not drained within {grace:?}: {}", left()))
                    .remedy("raise --grace together with the pod's terminationGracePeriodSeconds")),
            },
            name = signals.next() => Err(Failure::failed(format!("ended at once by a second {name}: {}", left()))),
        }
    });
    // A resolver's blocking call may outlive its caller; do not wait for it.
    runtime.shutdown_background();
    result
}

/// Keeps the termination message at what would be left if the process were killed now.
async fn tell(words: &LastWords, left: &impl Fn() -> String) -> std::convert::Infallible {
    loop {
        words.meanwhile(format!(
            "stopping: {}\nremedy: raise the pod's terminationGracePeriodSeconds",
            left()
        ));
        time::sleep(TELL_INTERVAL).await;
    }
}

/// For the end of a task that serves one connection: a panic costs that connection, not the process.
pub fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        panics::count();
        tracing::error!(%error, "a connection's task panicked; this is a bug");
    }
}

fn start_failure(error: io::Error) -> Failure {
    Failure::failed(format!("cannot start the runtime: {error}"))
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
