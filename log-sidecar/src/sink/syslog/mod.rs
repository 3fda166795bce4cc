//! Syslog over TCP, also in TLS: RFC 5424 in the frames of RFC 6587, section 3.4.1, and RFC 5425; or in datagrams.
//!
//! Syslog has no acknowledgement. So over TCP each batch has a connection of its own, which we close for writing: the server reads up to that, and
//! closes its side when it has. That proves that it has read all of the batch, where an open connection proves no more than that the
//! kernel on the way has. A proxy in between that closes by itself voids the proof.

mod datagrams;
mod encode;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pod_contract::units::HostPort;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::encode::Encoder;
use super::bodies::bodies;
use super::connect::chain;
use super::stream::{Connection, Dial, later, within};
use super::{Answer, Network, Verdict};
use crate::batch::Record;
use crate::parse::Shape;
use crate::recycle::Pool;

#[derive(Debug)]
pub(crate) struct Syslog {
    way: Way,
    timeout: Duration,
    encoder: Encoder,
    pub(super) bodies: Arc<Pool>,
}

#[derive(Debug)]
enum Way {
    Stream(Dial),
    Datagrams(HostPort),
}

impl Syslog {
    pub(crate) fn new(address: &HostPort, network: &Network, shape: &Shape) -> Self {
        let (address, tls) = (address.clone(), network.tls.clone());
        Self::over(Way::Stream(Dial { address, tls }), network, shape)
    }

    pub(crate) fn in_datagrams(address: &HostPort, network: &Network, shape: &Shape) -> Self {
        Self::over(Way::Datagrams(address.clone()), network, shape)
    }

    fn over(way: Way, network: &Network, shape: &Shape) -> Self {
        Self {
            way,
            timeout: network.timeout,
            encoder: Encoder::new(shape),
            bodies: bodies(),
        }
    }

    /// Is somebody there, who is who he says? Of datagrams, nobody knows.
    pub(crate) async fn greet(&self) -> Result<(), String> {
        let met = match &self.way {
            Way::Stream(dial) => dial.connect().await.map(drop),
            Way::Datagrams(address) => datagrams::connect(address).await.map(drop),
        };
        met.map_err(|error| chain(&error))
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        match &self.way {
            Way::Stream(dial) => self.send_over(dial, records, read_at).await,
            Way::Datagrams(address) => self.send_each(address, records, read_at).await,
        }
    }

    async fn send_each(&self, address: &HostPort, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let socket = match datagrams::connect(address).await {
            Ok(socket) => socket,
            Err(error) => return later(false)(error),
        };
        let mut body = self.bodies.take(self.encoder.size(records));
        let mut ends = Vec::with_capacity(records.len());
        self.encoder.each(records, read_at, |message| {
            body.extend_from_slice(message);
            ends.push(body.len());
        });
        Answer::Each(datagrams::send(&socket, &body, &ends).await)
    }

    async fn send_over(&self, dial: &Dial, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let stream = match dial.connect().await {
            Ok(stream) => stream,
            Err(error) => return later(false)(error),
        };
        let mut body = self.bodies.take(self.encoder.size(records));
        self.encoder.write(&mut body, records, read_at);
        match within(self.timeout, NOT_CLOSED, hand_over(stream, &body)).await {
            Ok(()) => Answer::Each(vec![Verdict::Delivered; records.len()]),
            Err(error) => later(true)(error),
        }
    }
}

/// Whoever closes without having read resets the connection when the rest arrives: about this time later.
const AFTERMATH: Duration = Duration::from_millis(50);

/// Sends all of it, and waits until the server has read it and closes its side.
async fn hand_over(mut stream: Box<dyn Connection>, body: &[u8]) -> io::Result<()> {
    let mut ignored = [0; 512];
    stream.write_all(body).await?;
    tokio::select! {
        biased;
        read = stream.read(&mut ignored) => if read? == 0 {
            return Err(io::Error::other("the server closes before it can have read everything"));
        },
        () = std::future::ready(()) => {}
    }
    stream.shutdown().await?;
    loop {
        match stream.read(&mut ignored).await {
            Ok(0) => break,
            Ok(_) => {}
            // Without the last word of TLS, which many leave out.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    tokio::time::sleep(AFTERMATH).await;
    match stream.tcp().take_error()? {
        Some(reset) => Err(reset),
        None => Ok(()),
    }
}

const NOT_CLOSED: &str = "not closed by the server, which has to read to the end of a connection and to close it then,";
