//! Bytes between a socket and its parser. Memory is held only while there are bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::Reader;
use super::block::{Size, give, take};

/// Small blocks in a row that have to go on at once: 4 MiB, more than the kernel keeps for a peer.
const AFTER_A_STALL: u32 = 1024;

/// A block of memory with a filled part, while that is not empty.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the next block.
    size: Size,
    /// So many more reads have to go on at once before blocks grow.
    patience: u32,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            data: Vec::new(),
            start: 0,
            end: 0,
            size: Size::Normal,
            patience: 0,
        }
    }

    /// For what comes whole more often than not: a large block costs no more while it is soon given back.
    pub(crate) fn large() -> Self {
        let mut buffer = Self::new();
        buffer.size = Size::Large;
        buffer
    }

    /// What has been read and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The last read has filled all there was room for.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.data.len()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Waits for more, holding no memory meanwhile if there is nothing; 0 at the end of the stream.
    pub(crate) async fn fill(&mut self, from: &mut Reader<'_>) -> io::Result<usize> {
        poll_fn(|context| self.poll_fill(from, context)).await
    }

    /// Reads what is there now; none when nothing is.
    pub(crate) async fn fill_now(&mut self, from: &mut Reader<'_>) -> io::Result<Option<usize>> {
        poll_fn(|context| match self.poll_fill(from, context) {
            Poll::Ready(result) => Poll::Ready(result.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }

    fn poll_fill(&mut self, from: &mut Reader<'_>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            self.release();
            ready!(from.poll_readable(context))?;
            self.data = take(self.size);
        } else {
            self.make_room();
        }
        let mut into = ReadBuf::new(&mut self.data[self.end..]);
        let result = Pin::new(from).poll_read(context, &mut into);
        let count = into.filled().len();
        self.end += count;
        if self.is_empty() {
            self.release();
        }
        result.map_ok(|()| count)
    }

    fn make_room(&mut self) {
        if self.start > 0 && self.end == self.data.len() {
            self.data.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.data.len() {
            self.data.resize(self.data.len() * 2, 0);
        }
    }

    /// Passes the next `left` bytes to `write`, which takes none or some at a time, and tells how many it `took`. A peer that does not take them makes
    /// the block small.
    pub(crate) fn poll_drain(
        &mut self,
        left: &mut usize,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
        mut took: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while *left > 0 {
            let Poll::Ready(count) = write(&self.filled()[..*left])? else {
                self.slow_down();
                return Poll::Pending;
            };
            self.consume(count);
            *left -= count;
            took(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back, if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.is_empty() && !self.data.is_empty() {
            give(std::mem::take(&mut self.data));
        }
    }

    /// After a read: one that filled all has more where it came from, so the next one may be larger.
    pub(crate) fn keep_pace(&mut self) {
        if self.end < self.data.len() {
            if self.end < Size::Normal.bytes() {
                self.size = self.size.min(Size::Normal);
            }
            return;
        }
        match self.patience.checked_sub(1) {
            Some(patience) => self.patience = patience,
            None => self.size = self.size.larger(),
        }
    }

    /// The other side is slow: what is left moves to the smallest block that holds it, and the next ones are small. Its kernel takes much at
    /// a time and then nothing for long, so blocks grow again only when it has taken more than that.
    fn slow_down(&mut self) {
        (self.size, self.patience) = (Size::Small, AFTER_A_STALL);
        let left = self.end - self.start;
        let fitting = Size::ALL.into_iter().find(|size| left <= size.bytes());
        let Some(size) = fitting.filter(|size| size.bytes() < self.data.len()) else {
            return;
        };
        let mut smaller = take(size);
        smaller[..left].copy_from_slice(self.filled());
        give(std::mem::replace(&mut self.data, smaller));
        (self.start, self.end) = (0, left);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::stream::Stream;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::tcp(listener.accept().await.unwrap().0).unwrap(), peer)
    }

    #[tokio::test]
    async fn memory_is_held_only_while_there_are_bytes() {
        let (mut stream, mut peer) = pair().await;
        let (mut reader, _) = stream.split();
        let mut buffer = Buffer::new();
        {
            let mut fill = Box::pin(buffer.fill(&mut reader));
            let waits = poll_fn(|context| Poll::Ready(fill.as_mut().poll(context).is_pending())).await;
            assert!(waits);
        }
        assert_eq!(buffer.data.len(), 0, "while it waits");
        peer.write_all(b"abc").await.unwrap();
        assert_eq!(buffer.fill(&mut reader).await.unwrap(), 3);
        assert_eq!(
            (buffer.filled(), buffer.data.len()),
            (&b"abc"[..], Size::Normal.bytes())
        );
        buffer.consume(3);
        drop(peer);
        assert_eq!(buffer.fill(&mut reader).await.unwrap(), 0);
        assert_eq!(buffer.data.len(), 0, "at the end");
    }

    #[tokio::test]
    async fn blocks_follow_the_pace_of_both_sides() {
        let (mut stream, mut peer) = pair().await;
        let (mut reader, _) = stream.split();
        let mut buffer = Buffer::new();
        let mut writing = tokio::task::JoinSet::new();
        writing.spawn(async move { peer.write_all(&vec![7; 4 << 20]).await });
        loop {
            assert!(buffer.fill(&mut reader).await.unwrap() > 0);
            buffer.keep_pace();
            let is_large = buffer.data.len() == Size::Large.bytes();
            let left = if is_large { 1000 } else { 0 };
            buffer.consume(buffer.filled().len() - left);
            if is_large {
                break;
            }
        }
        let left = buffer.filled().to_vec();
        buffer.slow_down();
        assert_eq!((buffer.filled(), buffer.data.len()), (&left[..], Size::Small.bytes()));
        buffer.consume(left.len());
        buffer.fill(&mut reader).await.unwrap();
        assert_eq!(buffer.data.len(), Size::Small.bytes(), "the next one is small, too");
    }
}
