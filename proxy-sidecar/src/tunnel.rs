//! Bytes both ways until both sides have ended: raw TCP, and what follows a 101.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncWrite as _, AsyncWriteExt as _};

use crate::deadline::{Activity, Deadline};
use crate::http1::Broken;
use crate::stream::{Buffer, Moved, Reader, Splicer, Stream, Writer};

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides closed.
    Closed,
    /// The client broke off.
    ClientBroke,
    /// The endpoint did.
    EndpointBroke,
    /// No byte for so long.
    Idle,
    /// The endpoint is not to be used any more.
    Unfit,
}

/// Copies both ways; a side that ends its direction is heard on in the other. `early` holds what was read from each side already.
async fn run(
    client: &mut Stream,
    server: &mut Stream,
    early: (Buffer, Buffer),
    deadline: &mut Deadline,
    idle: Duration,
) -> End {
    client.keep_alive();
    server.keep_alive();
    let activity = Activity::within(idle, idle);
    let end = tokio::select! {
        result = both_ways(client, server, early, &activity) => match result {
            Ok(()) => End::Closed,
            Err((error, side)) => {
                tracing::debug!(%error, ?side, "tunnel reset");
                match side {
                    Side::Client => End::ClientBroke,
                    Side::Server => End::EndpointBroke,
                }
            }
        },
        () = deadline.idle(&activity, idle) => End::Idle,
    };
    if end != End::Closed {
        client.reset();
        server.reset();
    }
    end
}

/// Until both have ended, or until the one at fault, if one has broken off.
async fn both_ways(
    client: &mut Stream,
    server: &mut Stream,
    (from_client, from_server): (Buffer, Buffer),
    activity: &Activity,
) -> Result<(), (Broken, Side)> {
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let ended = Cell::new(0);
    let mut up = pin!(until_both_end(
        &mut client_read,
        &mut server_write,
        from_client,
        activity,
        &ended
    ));
    let mut down = pin!(until_both_end(
        &mut server_read,
        &mut client_write,
        from_server,
        activity,
        &ended
    ));
    // A side that cannot be read has broken off, and the other has to know at once; one that does not listen any more may still speak.
    let (broken, side) = tokio::select! {
        first = &mut up => match first {
            Err(Broken::Write(error)) => (down.await.and(Err(Broken::Write(error))), Side::Server),
            first => (first, Side::Client),
        },
        first = &mut down => match first {
            Err(Broken::Write(error)) => (up.await.and(Err(Broken::Write(error))), Side::Client),
            first => (first, Side::Server),
        },
    };
    broken.map_err(|error| (error, side))
}

/// The same, until `barred`.
pub(crate) async fn run_until(
    barred: impl Future<Output = ()>,
    (client, server): (&mut Stream, &mut Stream),
    early: (Buffer, Buffer),
    deadline: &mut Deadline,
    idle: Duration,
) -> End {
    let end = tokio::select! {
        end = run(client, server, early, deadline, idle) => return end,
        () = barred => End::Unfit,
    };
    client.reset();
    server.reset();
    end
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// One direction to its end; then, while the other goes on, whether who has ended this one breaks off.
async fn until_both_end(
    input: &mut Reader<'_>,
    output: &mut Writer<'_>,
    mut early: Buffer,
    activity: &Activity,
    ended: &Cell<u8>,
) -> Result<(), Broken> {
    let result = one_way(input, output, &mut early, activity).await;
    ended.set(ended.get() + 1);
    if result.is_ok() && ended.get() < 2 {
        input.broken_off().await;
        return Err(Broken::Read(io::ErrorKind::ConnectionReset.into()));
    }
    result
}

/// Holds memory only while there is something to copy. What comes in large pieces is not looked at.
async fn one_way(
    input: &mut Reader<'_>,
    output: &mut Writer<'_>,
    buffer: &mut Buffer,
    activity: &Activity,
) -> Result<(), Broken> {
    loop {
        send(output, buffer, activity).await?;
        if buffer.fill(input).await.map_err(Broken::Read)? == 0 {
            return output.shutdown().await.map_err(Broken::Write);
        }
        if buffer.is_full() {
            send(output, buffer, activity).await?;
            splice(input, output, activity).await?;
        }
    }
}

async fn send(output: &mut Writer<'_>, buffer: &mut Buffer, activity: &Activity) -> Result<(), Broken> {
    let mut left = buffer.filled().len();
    poll_fn(|context| {
        let write = |data: &[u8]| Pin::new(&mut *output).poll_write(context, data);
        buffer.poll_drain(&mut left, write, |_| activity.mark())
    })
    .await
    .map_err(Broken::Write)?;
    output.flush().await.map_err(Broken::Write)
}

/// Moves what comes until nothing does; what follows is copied again, which costs less for a few bytes.
async fn splice(input: &Reader<'_>, output: &Writer<'_>, activity: &Activity) -> Result<(), Broken> {
    let mut splicer = Splicer::default();
    loop {
        match splicer.step(input, output, u64::MAX).await? {
            Moved::Read(_) => {}
            Moved::Written => activity.mark(),
            Moved::Idle | Moved::End | Moved::NoPipe => return Ok(()),
        }
    }
}
