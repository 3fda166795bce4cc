//! Bytes both ways until both sides have ended: raw TCP, and what follows a 101.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::deadline::{Activity, Deadline};
use crate::http1::Broken;
use crate::stream::{Buffer, Reader, Stream, Writer};

/// How a tunnel ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides closed.
    Closed,
    /// One side broke off.
    Reset,
    /// No byte for so long.
    Idle,
}

/// Copies both ways; a side that ends its direction is heard on in the other. `early` holds what was read from each side already.
pub(crate) async fn run(
    client: &mut Stream,
    server: &mut Stream,
    early: (Buffer, Buffer),
    deadline: &mut Deadline,
    idle: Duration,
) -> End {
    client.keep_alive();
    server.keep_alive();
    let activity = Activity::within(idle);
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let (from_client, from_server) = early;
    let up = one_way(&mut client_read, &mut server_write, from_client, &activity);
    let down = one_way(&mut server_read, &mut client_write, from_server, &activity);
    let end = async {
        tokio::pin!(up, down);
        // A side that cannot be read has broken off, and the other has to know at once; one that does not listen any more may still speak.
        let (first, rest) = tokio::select! {
            first = &mut up => (first, down),
            first = &mut down => (first, up),
        };
        if matches!(first, Err(Broken::Read(_))) {
            return first;
        }
        first.and(rest.await)
    };
    tokio::select! {
        result = end => match result {
            Ok(()) => End::Closed,
            Err(error) => {
                tracing::debug!(%error, "tunnel reset");
                End::Reset
            }
        },
        () = deadline.idle(&activity, idle) => End::Idle,
    }
}

/// Holds memory only while there is something to copy.
async fn one_way(
    input: &mut Reader<'_>,
    output: &mut Writer<'_>,
    mut buffer: Buffer,
    activity: &Activity,
) -> Result<(), Broken> {
    loop {
        while !buffer.is_empty() {
            let taken = match output.write_now(buffer.filled()).await.map_err(Broken::Write)? {
                Some(taken) => taken,
                None => {
                    buffer.slow_down();
                    output.write(buffer.filled()).await.map_err(Broken::Write)?
                }
            };
            buffer.consume(taken);
            activity.mark();
        }
        if buffer.fill(input).await.map_err(Broken::Read)? == 0 {
            return output.shutdown().await.map_err(Broken::Write);
        }
        buffer.keep_pace();
    }
}
