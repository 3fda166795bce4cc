//! Read once, hash and write at the same time: the digest is of the very bytes that were written.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::piece::{Failed, go_on, read_at, write_at};
use crate::content::BUFFER;
use crate::content::checksum::Hasher;
use crate::progress::Progress;

/// Below this, starting a thread costs more than it saves.
const WORTH_A_THREAD: u64 = 4 << 20;
/// Buffers between the two threads.
const DEPTH: usize = 3;

pub(super) fn copy(
    source: &File,
    target: &File,
    size: u64,
    mut hasher: Hasher,
    progress: &Progress,
) -> Result<(u64, Vec<u8>), Failed> {
    if size < WORTH_A_THREAD {
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(BUFFER).clamp(1, BUFFER)];
        let mut at = 0;
        while at < size {
            go_on()?;
            let read = read_at(source, &mut buffer, at).map_err(Failed::Reading)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            write_at(target, &buffer[..read], at).map_err(Failed::Writing)?;
            at += read as u64;
            progress.add(read as u64);
        }
        return Ok((at, hasher.finish()));
    }
    let (full, filled) = sync_channel::<(Arc<Vec<u8>>, usize)>(DEPTH);
    let (empty, emptied) = sync_channel::<Arc<Vec<u8>>>(DEPTH + 1);
    thread::scope(|scope| {
        let digest = scope.spawn(move || hash(hasher, &filled, &empty));
        let copied = feed(source, target, size, &full, &emptied, progress);
        drop(full);
        let digest = digest.join().unwrap_or_default();
        copied.map(|copied| (copied, digest))
    })
}

fn hash(mut hasher: Hasher, filled: &Receiver<(Arc<Vec<u8>>, usize)>, empty: &SyncSender<Arc<Vec<u8>>>) -> Vec<u8> {
    for (buffer, length) in filled {
        hasher.update(&buffer[..length]);
        // The other side has gone when it is done or has failed.
        drop(empty.send(buffer));
    }
    hasher.finish()
}

fn feed(
    source: &File,
    target: &File,
    size: u64,
    full: &SyncSender<(Arc<Vec<u8>>, usize)>,
    emptied: &Receiver<Arc<Vec<u8>>>,
    progress: &Progress,
) -> Result<u64, Failed> {
    let mut spare: Vec<_> = (0..DEPTH).map(|_| Arc::new(vec![0; BUFFER])).collect();
    let mut at = 0;
    while at < size {
        go_on()?;
        let mut buffer = match spare.pop() {
            Some(buffer) => buffer,
            None => emptied.recv().map_err(|_| Failed::Reading(rustix::io::Errno::IO))?,
        };
        // Ours alone: the hasher gives a buffer back when it has done with it, and the write below was of an earlier turn.
        let bytes = Arc::make_mut(&mut buffer);
        let read = read_at(source, bytes, at).map_err(Failed::Reading)?;
        if read == 0 {
            break;
        }
        full.send((Arc::clone(&buffer), read))
            .map_err(|_| Failed::Reading(rustix::io::Errno::IO))?;
        write_at(target, &buffer[..read], at).map_err(Failed::Writing)?;
        at += read as u64;
        progress.add(read as u64);
    }
    Ok(at)
}
