//! At whose pace bytes move: what is read of one side is acknowledged there once the other side has room for it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;

/// The other side takes no more.
#[derive(Debug)]
pub(super) struct Refused;

/// Waits for room for some of `data`, and sends it. `ends`: it is the last of its message.
pub(super) async fn send(data: Bytes, ends: bool, to: &mut SendStream<Bytes>) -> Result<(), Refused> {
    if !data.is_empty() {
        to.reserve_capacity(data.len());
        while to.capacity() == 0 {
            match poll_fn(|context| to.poll_capacity(context)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Refused),
            }
        }
    }
    to.send_data(data, ends).map_err(|_| Refused)
}

/// Is `to` reset, or its connection over?
pub(super) fn is_reset(to: &mut SendStream<Bytes>, context: &mut Context<'_>) -> bool {
    matches!(to.poll_reset(context), Poll::Ready(_))
}
