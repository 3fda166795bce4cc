//! What is on its way out: a head with what of the body goes along, gathered into few writes, and kept while it may have to be sent again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;

use crate::exchange::KEPT;
use crate::stream::{Scratch, Writer};

/// More than this is not copied to be written together with what is before it.
const GATHERED: usize = 4 << 10;

/// Bytes to be written, and those that were.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Scratch,
    written: usize,
    /// The part of `bytes` that is the head.
    head: usize,
    keeps: bool,
    /// What comes is written from where it is: from here on, what is here is not all that has to go out again.
    committed: bool,
    /// Some of it was taken by the socket since the last start.
    sent: bool,
}

impl Outgoing {
    /// `keeps` all of it, up to [`KEPT`] bytes, to be sent again.
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            bytes: Scratch::empty(),
            written: 0,
            head: 0,
            keeps,
            committed: false,
            sent: false,
        }
    }

    /// Starts, or starts again, with this head; what followed it goes out after it again.
    pub(super) fn start(&mut self, write_head: impl FnOnce(&mut Vec<u8>)) {
        let mut head = Scratch::new();
        write_head(&mut head);
        let length = head.len();
        if self.bytes.len() > self.head {
            head.extend_from_slice(&self.bytes[self.head..]);
        }
        (self.bytes, self.head, self.written, self.sent) = (head, length, 0, false);
    }

    /// How long the head is, in bytes.
    pub(super) fn head(&self) -> usize {
        self.head
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes = Scratch::new();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// May so many bytes be gathered here, rather than be written from where they are?
    pub(super) fn gathers(&self, count: usize) -> bool {
        let limit = if self.keeps { KEPT } else { GATHERED };
        self.bytes.len() - self.head + count <= limit
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Nothing waits to be written.
    pub(super) fn is_flushed(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// All that was sent since the start can be sent again.
    pub(super) fn can_repeat(&self) -> bool {
        self.keeps || (!self.sent && !self.committed)
    }

    /// The socket has taken some of it.
    pub(super) fn was_sent(&self) -> bool {
        self.sent
    }

    /// The next part is written from where it is, after what waits here.
    pub(super) fn commit(&mut self) {
        self.committed = true;
        self.forget();
    }

    /// It will not be sent again.
    pub(super) fn forget(&mut self) {
        self.keeps = false;
        self.drop_written();
    }

    fn drop_written(&mut self) {
        if self.is_flushed() && !self.keeps {
            (self.bytes, self.written, self.head) = (Scratch::empty(), 0, 0);
        }
    }

    fn took(&mut self, count: usize) {
        self.sent |= count > 0;
        self.written += count;
    }

    fn poll_flush(&mut self, to: &mut Writer<'_>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let count = ready!(Pin::new(&mut *to).poll_write(context, &self.bytes[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.took(count);
        }
        self.drop_written();
        Pin::new(to).poll_flush(context)
    }

    /// Writes what waits, and some of `data` with it; how much of that.
    pub(super) fn poll_send(
        &mut self,
        data: &[u8],
        to: &mut Writer<'_>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let waiting = self.bytes.len() - self.written;
        let parts = [IoSlice::new(&self.bytes[self.written..]), IoSlice::new(data)];
        let parts = if waiting == 0 { &parts[1..] } else { &parts[..] };
        let count = ready!(Pin::new(to).poll_write_vectored(context, parts))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.took(count.min(waiting));
        self.sent = true;
        self.drop_written();
        Poll::Ready(Ok(count.saturating_sub(waiting)))
    }
}

/// Writes all that waits.
pub(super) async fn flush(out: &RefCell<Outgoing>, to: &mut Writer<'_>) -> io::Result<()> {
    poll_fn(|context| out.borrow_mut().poll_flush(to, context)).await
}
