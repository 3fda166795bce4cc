//! Blocks of memory, kept for the next one who needs one: to the allocator of musl, each would cost a page fault.

use std::cell::RefCell;

/// How large a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    /// For a peer that is slower than what comes for it.
    Small,
    /// For a head, and most bodies.
    Normal,
    /// While whole reads fill the others.
    Large,
}

/// Free blocks of each size that are kept, half a MiB: as many as are in use at a time, since who waits has none.
const KEPT: [usize; 3] = [16, 16, 4];

type Free = [Vec<Vec<u8>>; 3];

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

impl Size {
    pub(super) const ALL: [Self; 3] = [Self::Small, Self::Normal, Self::Large];

    /// In bytes.
    pub(super) fn bytes(self) -> usize {
        [4 << 10, 16 << 10, 64 << 10][self as usize]
    }

    pub(super) fn larger(self) -> Self {
        [Self::Normal, Self::Large, Self::Large][self as usize]
    }
}

/// A block, all of it zeros or what somebody left.
pub(super) fn take(size: Size) -> Vec<u8> {
    let free = FREE.with_borrow_mut(|free| free[size as usize].pop());
    free.unwrap_or_else(|| vec![0; size.bytes()])
}

/// Takes a block back. One of another size is dropped.
pub(super) fn give(block: Vec<u8>) {
    let Some(size) = Size::ALL.into_iter().find(|size| size.bytes() == block.len()) else {
        return;
    };
    FREE.with_borrow_mut(|free| {
        if free[size as usize].len() < KEPT[size as usize] {
            free[size as usize].push(block);
        }
    });
}
