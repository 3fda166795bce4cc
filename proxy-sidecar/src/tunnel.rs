//! Bytes both ways until both sides have ended: raw TCP, and what follows a 101.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::buffer::Buffer;
use crate::deadline::{Activity, Deadline};

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
    client: &mut TcpStream,
    server: &mut TcpStream,
    early: Option<(Buffer, Buffer)>,
    deadline: &mut Deadline,
    idle: Duration,
) -> End {
    let activity = Activity::within(idle);
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let (from_client, from_server) = early.unzip();
    let up = one_way(&mut client_read, &mut server_write, from_client, &activity);
    let down = one_way(&mut server_read, &mut client_write, from_server, &activity);
    tokio::select! {
        // Each to its own end: what one side still has to say is passed on when the other does not listen any more.
        (up, down) = async { tokio::join!(up, down) } => match up.and(down) {
            Ok(()) => End::Closed,
            Err(error) => {
                tracing::debug!(%error, "tunnel reset");
                End::Reset
            }
        },
        () = deadline.idle(&activity, idle) => End::Idle,
    }
}

/// Holds a buffer only while there is something to copy.
async fn one_way(
    input: &mut ReadHalf<'_>,
    output: &mut WriteHalf<'_>,
    early: Option<Buffer>,
    activity: &Activity,
) -> io::Result<()> {
    if let Some(early) = early {
        output.write_all(early.filled()).await?;
    }
    loop {
        input.readable().await?;
        let mut buffer = Buffer::new();
        loop {
            match buffer.try_read(input) {
                Ok(0) => return output.shutdown().await,
                Ok(count) => {
                    let full = buffer.is_filled_to_the_brim();
                    output.write_all(buffer.filled()).await?;
                    buffer.consume(count);
                    activity.mark();
                    if full {
                        buffer.grow_if_filled();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
    }
}
