//! Bytes between a socket and its parser, taken from a pool while a request is under way.

use std::cell::RefCell;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Reader;

/// What a buffer starts with; also what an idle pool keeps of each.
const INITIAL: usize = 16 * 1024;
/// What a buffer grows to while whole reads fill it.
const LARGEST: usize = 256 * 1024;
/// Free buffers kept.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A block of memory with a filled part. Goes back to the pool when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        let data = FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; INITIAL]);
        Self { data, start: 0, end: 0 }
    }

    /// What has been read and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads what is there, after making room; 0 at the end of the stream.
    pub(crate) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        self.make_room();
        let count = stream.read(&mut self.data[self.end..]).await?;
        self.end += count;
        Ok(count)
    }

    /// Reads what is there now; `WouldBlock` when nothing is.
    pub(crate) fn try_read(&mut self, stream: &Reader<'_>) -> io::Result<usize> {
        self.make_room();
        let count = stream.try_read(&mut self.data[self.end..])?;
        self.end += count;
        Ok(count)
    }

    fn make_room(&mut self) {
        if self.start > 0 && self.end == self.data.len() {
            self.data.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.data.len() {
            self.grow();
        }
    }

    /// After a read that filled all: there is more where this came from, so the next one may be larger.
    pub(crate) fn grow_if_filled(&mut self) {
        if self.start == 0 && self.end == 0 && self.data.len() < LARGEST {
            self.grow();
        }
    }

    pub(crate) fn is_filled_to_the_brim(&self) -> bool {
        self.end == self.data.len()
    }

    fn grow(&mut self) {
        let larger = self.data.len() * 2;
        self.data.resize(larger, 0);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.data.len() == INITIAL {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(std::mem::take(&mut self.data));
                }
            });
        }
    }
}
