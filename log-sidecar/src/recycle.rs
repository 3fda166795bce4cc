//! Buffers that are used again: of those that do not share a page with others, a freed one goes back to the kernel at once, and comes back
//! as a page fault for each 4 KiB.

use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What fits into these, bytes, gets one of them: what a file has after a rest, and nothing that would count for much more than it is. What
/// is not half a page long is left to the allocator.
const SMALL: [usize; 2] = [4 << 10, 8 << 10];
const LEAST_SMALL: usize = 2 << 10;

/// Buffers that nobody uses now: large ones, of at least `least` bytes, and [`SMALL`] ones below that; of each no more than `most`.
#[derive(Debug)]
pub(crate) struct Pool {
    least: usize,
    most: usize,
    spare: Mutex<Shelves>,
}

/// By size; the last one has the large ones.
type Shelves = [Vec<Vec<u8>>; SMALL.len() + 1];

impl Pool {
    pub(crate) fn new(least: usize, most: usize) -> Arc<Self> {
        Arc::new(Self {
            least,
            most,
            spare: Mutex::default(),
        })
    }

    /// An empty buffer for `capacity` bytes.
    pub(crate) fn take(self: &Arc<Self>, capacity: usize) -> Recycled {
        let fits = |size: &&usize| (LEAST_SMALL..=**size).contains(&capacity) && **size < self.least;
        let capacity = SMALL.iter().find(fits).map_or(capacity, |size| *size);
        let Some(shelf) = self.shelf_of(capacity) else {
            return Vec::with_capacity(capacity).into();
        };
        let spare = self.spare()[shelf].pop();
        let mut bytes = spare.unwrap_or_default();
        bytes.reserve_exact(capacity);
        Recycled {
            bytes,
            home: Some(Arc::clone(self)),
        }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let (shelf, mut spare) = (self.shelf_of(bytes.capacity()), self.spare());
        if let Some(shelf) = shelf.filter(|shelf| spare[*shelf].len() < self.most) {
            bytes.clear();
            spare[shelf].push(bytes);
        }
    }

    /// Where buffers of this capacity are kept.
    fn shelf_of(&self, capacity: usize) -> Option<usize> {
        if capacity >= self.least {
            return Some(SMALL.len());
        }
        SMALL.iter().position(|size| *size == capacity)
    }

    /// Gives the memory back.
    pub(crate) fn clear(&self) {
        *self.spare() = Shelves::default();
    }

    fn spare(&self) -> MutexGuard<'_, Shelves> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that go back to where they are from.
#[derive(Debug, Default)]
pub(crate) struct Recycled {
    bytes: Vec<u8>,
    home: Option<Arc<Pool>>,
}

impl Drop for Recycled {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Recycled {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Recycled {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Write for Recycled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartialEq for Recycled {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Recycled {}

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for Recycled {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_as_far_as_there_is_room() {
        const LEAST: usize = 100_000;
        let pool = Pool::new(LEAST, 2);
        let spare = || pool.spare().each_ref().map(Vec::len);
        for not_kept in [LEAST_SMALL - 1, SMALL[1] + 1, LEAST - 1] {
            drop(pool.take(not_kept));
            assert_eq!(spare(), [0; 3], "{not_kept}");
        }
        for (shelf, sizes) in [[LEAST_SMALL, SMALL[0]], [SMALL[0] + 1, SMALL[1]], [LEAST, 2 * LEAST]]
            .iter()
            .enumerate()
        {
            let mut taken: Vec<_> = (0..3).map(|_| pool.take(sizes[0])).collect();
            taken[0].extend_from_slice(b"old");
            let places: Vec<_> = taken.iter().map(|buffer| buffer.as_ptr()).collect();
            drop(taken);
            assert_eq!(spare()[shelf], 2, "{sizes:?}");
            let again = pool.take(sizes[0]);
            assert!(places.contains(&again.as_ptr()) && again.is_empty());
            drop(again);
            drop(pool.take(sizes[1]));
            assert_eq!(spare()[shelf], 2, "{sizes:?}");
        }
        // Where a small one is large enough, there is one shelf only.
        let low = Pool::new(SMALL[0], 2);
        for capacity in [SMALL[0] - 1, SMALL[0], SMALL[1]] {
            drop(low.take(capacity));
        }
        assert_eq!(low.spare().each_ref().map(Vec::len), [0, 0, 1]);
        // One that has outgrown its size.
        let mut grown = pool.take(SMALL[0]);
        grown.resize(SMALL[0] + 1, 0);
        drop(grown);
        assert_eq!(spare(), [1, 2, 2]);
        pool.clear();
        assert_eq!(spare(), [0; 3]);
    }
}
