//! A body on its way through: counted, and cut off at the deadline.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use pod_contract::metrics::Counted;
use tokio::time::{Sleep, sleep_until};

use super::deadline::Deadline;

/// The application's body as it passes.
#[derive(Debug)]
pub(crate) struct Passing {
    body: Incoming,
    left: u64,
    end: Pin<Box<Sleep>>,
    _under_way: Counted,
}

/// Why a body was cut off. The client sees a body that ends early, not a complete one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the body is longer than max-body")]
    TooLong,
    #[error("the body did not end before the deadline")]
    Late,
    #[error("the application broke off: {0}")]
    Broken(#[from] hyper::Error),
}

impl Passing {
    pub(crate) fn new(body: Incoming, max: u64, deadline: Deadline, under_way: Counted) -> Self {
        Self {
            body,
            left: max,
            end: Box::pin(sleep_until(deadline.at)),
            _under_way: under_way,
        }
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Cut::Late)));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(Cut::TooLong))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
