//! Large buffers that are used again: a freed one goes back to the kernel at once, and comes back as a page fault for each 4 KiB.

use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers that nobody uses now. Smaller ones than `least` are not kept, nor more than `most`.
#[derive(Debug)]
pub(crate) struct Pool {
    least: usize,
    most: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

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
        if capacity < self.least {
            return Vec::with_capacity(capacity).into();
        }
        let spare = self.spare().pop();
        let mut bytes = spare.unwrap_or_default();
        bytes.reserve(capacity);
        Recycled {
            bytes,
            home: Some(Arc::clone(self)),
        }
    }

    /// Gives the memory back.
    pub(crate) fn clear(&self) {
        self.spare().clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spare().is_empty()
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
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
        let Some(home) = &self.home else { return };
        let mut spare = home.spare();
        if spare.len() < home.most && self.bytes.capacity() >= home.least {
            self.bytes.clear();
            spare.push(std::mem::take(&mut self.bytes));
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
    fn large_buffers_are_used_again_as_far_as_there_is_room() {
        let pool = Pool::new(1000, 2);
        drop(pool.take(999));
        assert!(pool.is_empty());
        let mut taken: Vec<_> = (0..3).map(|_| pool.take(1000)).collect();
        taken[0].extend_from_slice(b"old");
        let places: Vec<_> = taken.iter().map(|buffer| buffer.as_ptr()).collect();
        drop(taken);
        assert_eq!(pool.spare().len(), 2);
        let again = pool.take(1000);
        assert!(places.contains(&again.as_ptr()) && again.is_empty());
        drop(again);
        pool.clear();
        assert!(pool.is_empty());
    }
}
