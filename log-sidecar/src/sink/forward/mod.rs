//! Fluent Forward, version 1.5, over TCP, also in TLS: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.5>.
//!
//! Each batch is a `PackedForward` message (or compressed) with a chunk id of its own, which the server says again once it has taken it.
//! Servers do not look whether they have had that chunk before.

mod encode;
mod handshake;
mod msgpack;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pod_contract::config::Secret;
use pod_contract::net::login::Login;
use tokio::io::AsyncWriteExt as _;

use self::encode::Encoder;
use self::handshake::introduce;
pub(super) use self::msgpack::decode;
use self::msgpack::{Value, receive};
use super::bodies::bodies;
use super::connect::chain;
use super::stream::{Connection, Dial, later, within};
use super::{Answer, Compress, Network, Server, Verdict};
use crate::batch::Record;
use crate::parse::Shape;
use crate::recycle::Pool;

/// A connection that nobody has needed for so long may have been forgotten on the way.
const MAX_IDLE: Duration = Duration::from_secs(10);
/// A server that asks who we are does it at once.
const TIME_TO_ASK: Duration = Duration::from_millis(300);
/// Somebody who hangs up so often on messages, one after the other, may have no room for one: there is no other answer to that.
const PATIENCE: u32 = 2;
/// Before a part is sent to one that does.
const PAUSE: Duration = Duration::from_millis(50);
/// After so many acknowledgements in a row, there is room.
const ROOM: u32 = 64;

pub(crate) struct Forward {
    dial: Dial,
    timeout: Duration,
    login: Option<Login>,
    shared_key: Option<Secret>,
    encoder: Encoder,
    /// With the time at which each was used last.
    idle: RefCell<Vec<(Box<dyn Connection>, Instant)>>,
    /// Messages on which the server has hung up, and how many it has acknowledged since.
    hung_up: Cell<u32>,
    acknowledged: Cell<u32>,
    pub(super) bodies: Arc<Pool>,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("dial", &self.dial)
            .finish_non_exhaustive()
    }
}

impl Forward {
    pub(crate) fn new(server: &Server, network: Network, shape: &Shape) -> Self {
        let tag = server.path.trim_start_matches('/');
        Self {
            dial: Dial {
                address: server.address.clone(),
                tls: network.tls,
            },
            timeout: network.timeout,
            login: network.login,
            shared_key: network.shared_key,
            encoder: Encoder::new(tag, network.compress == Compress::Gzip, shape),
            idle: RefCell::default(),
            hung_up: Cell::default(),
            acknowledged: Cell::default(),
            bodies: bodies(),
        }
    }

    /// Is somebody there who knows us?
    pub(crate) async fn greet(&self) -> Result<(), String> {
        let asked = async {
            let mut stream = self.connect().await?;
            if self.shared_key.is_some() {
                return Ok(());
            }
            match tokio::time::timeout(TIME_TO_ASK, receive(&mut *stream)).await {
                Ok(said) => Err(unexpected(&said?)),
                Err(_) => Ok(()),
            }
        };
        asked.await.map_err(|error: io::Error| chain(&error))
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let mut stream = match self.connection().await {
            Ok(stream) => stream,
            Err(error) => return later(false)(error),
        };
        let (body, chunk) = self.encoder.encode(&self.bodies, records, read_at);
        match within(
            self.timeout,
            "no acknowledgement",
            exchange(&mut *stream, &body, &chunk),
        )
        .await
        {
            Ok(()) => {
                self.idle.borrow_mut().push((stream, Instant::now()));
                self.acknowledged.set(self.acknowledged.get().saturating_add(1));
                if self.hung_up.get() <= PATIENCE || self.acknowledged.get() >= ROOM {
                    self.hung_up.set(0);
                }
                Answer::Each(vec![Verdict::Delivered; records.len()])
            }
            Err(error) if has_hung_up(&error) && self.is_too_often() && records.len() > 1 => {
                tokio::time::sleep(PAUSE).await;
                Answer::Smaller {
                    why: format!(
                        "{}, {} bytes; if its buffer is smaller, lower --batch-size",
                        chain(&error),
                        body.len()
                    ),
                    too_large: false,
                    is_unclear: true,
                }
            }
            Err(error) => later(true)(error),
        }
    }

    fn is_too_often(&self) -> bool {
        self.acknowledged.set(0);
        self.hung_up.set(self.hung_up.get().saturating_add(1));
        self.hung_up.get() > PATIENCE
    }

    /// One that is still there, or a new one.
    async fn connection(&self) -> io::Result<Box<dyn Connection>> {
        loop {
            let Some((stream, used_at)) = self.idle.borrow_mut().pop() else {
                return self.connect().await;
            };
            if used_at.elapsed() < MAX_IDLE && is_quiet(&*stream).await {
                return Ok(stream);
            }
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let mut stream = self.dial.connect().await?;
        if let Some(key) = &self.shared_key {
            let known = introduce(&mut *stream, key, self.login.as_ref());
            within(self.timeout, "no greeting", known).await?;
        }
        Ok(stream)
    }
}

/// Nothing came, not even the end.
async fn is_quiet(stream: &dyn Connection) -> bool {
    tokio::select! {
        biased;
        _ = stream.tcp().readable() => {
            let mut byte = [0];
            // The kernel knows, whatever was known before.
            matches!(stream.tcp().try_io(tokio::io::Interest::READABLE, || {
                rustix::net::recv(stream.tcp(), &mut byte, rustix::net::RecvFlags::PEEK).map_err(io::Error::from)
            }), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        }
        () = std::future::ready(()) => true,
    }
}

async fn exchange(stream: &mut dyn Connection, body: &[u8], chunk: &str) -> io::Result<()> {
    stream.write_all(body).await?;
    stream.flush().await?;
    let answer = receive(stream).await?;
    match answer.member("ack").and_then(Value::text) {
        Some(acknowledged) if acknowledged == chunk => Ok(()),
        Some(other) => Err(io::Error::other(format!(
            "it acknowledges {other:?}, which is not what was sent"
        ))),
        None => Err(unexpected(&answer)),
    }
}

fn unexpected(said: &Value) -> io::Error {
    io::Error::other(match said.items().first().and_then(Value::text) {
        Some("HELO") => "it asks who we are; give --shared-key",
        _ => "its answer is no acknowledgement",
    })
}

fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}
