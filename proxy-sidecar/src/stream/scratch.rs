//! Bytes that are put together and soon gone: heads, and what waits to be written with them.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// What one has room for at the start,
const ROOM: usize = 2048;
/// and at most when it is kept.
const LARGEST_KEPT: usize = 16 << 10;
/// Free ones that are kept.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A vector whose memory is used again. It has none until the first byte.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// With room for a head.
    pub(crate) fn new() -> Self {
        Self(
            FREE.with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| Vec::with_capacity(ROOM)),
        )
    }

    /// Without memory.
    pub(crate) const fn empty() -> Self {
        Self(Vec::new())
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !(1..=LARGEST_KEPT).contains(&self.0.capacity()) {
            return;
        }
        let mut bytes = std::mem::take(&mut self.0);
        bytes.clear();
        FREE.with_borrow_mut(|free| {
            if free.len() < KEPT {
                free.push(bytes);
            }
        });
    }
}
