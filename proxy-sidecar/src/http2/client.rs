//! Towards an endpoint.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::Ping;
use h2::client::{Builder, SendRequest};
use tokio::task::spawn_local;

use super::batch::Batch;
use super::{STREAM_WINDOW, connection_window};
use crate::message::head::MAX_RESPONSE_HEAD;
use crate::stream::Stream;

/// What is sent and not acknowledged, or finds no room, for so long has no way to the endpoint. Many requests share the connection, so more
/// may wait there than a kernel takes for a process that is busy: that must not be taken for a lost way too soon.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// Begins HTTP/2 for `most` requests at once, as far as the endpoint allows it. It stands once a ping has come back: an endpoint that takes
/// connections and does nothing more is not given a request, and how many it allows is known before the first one.
pub(crate) async fn greet(stream: Stream, most: usize) -> Result<SendRequest<Bytes>, h2::Error> {
    stream.keep_alive();
    stream.acknowledged_within(UNACKNOWLEDGED);
    let handshake = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(most))
        // Counted as RFC 9113, section 6.5.2, does.
        .max_header_list_size(MAX_RESPONSE_HEAD as u32)
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .handshake(stream);
    let (send, mut connection) = handshake.await?;
    let pings = connection.ping_pong();
    // It ends when nobody needs it any more, or with its peer, which those who use it see.
    let driven = spawn_local(async move {
        let (mut batch, mut connection) = (Batch::default(), pin!(connection));
        let ended = poll_fn(|context| batch.poll(context, |context| connection.as_mut().poll(context)));
        if let Err(error) = ended.await {
            tracing::debug!(%error, "a connection to an endpoint has ended");
        }
    });
    if let Some(mut pings) = pings
        && let Err(error) = pings.ping(Ping::opaque()).await
    {
        driven.abort();
        return Err(error);
    }
    Ok(send)
}
