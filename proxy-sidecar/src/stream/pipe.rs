//! Bytes from one socket to another without a copy through this process: splice(2), by way of a pipe.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Reader, Writer};

/// What a pipe is made to hold, in bytes. The kernel grants a user 64 MiB of pipes by default; past that, they are too small to be of use.
const SIZE: usize = 256 << 10;
/// Empty pipes that are kept.
const KEPT: usize = 4;
/// Pipes in use: each takes two open files, and a reader that stalls holds one.
const MOST: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static IN_USE: Cell<usize> = const { Cell::new(0) };
    /// splice(2) is not there: a sandbox forbids it.
    static IS_FORBIDDEN: Cell<bool> = const { Cell::new(false) };
}

/// A pipe with what it holds.
#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
}

/// Moves bytes from a [`Reader`] to a [`Writer`]. Holds a pipe only while there is something in it.
#[derive(Debug, Default)]
pub(crate) struct Splicer(Option<Pipe>);

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So much was read. It is not written yet.
    Read(usize),
    /// Some of what was read is written.
    Written,
    /// All that was read is written, and there is no more to read now.
    Idle,
    /// All that was read is written, and the peer has ended its direction.
    End,
    /// There is no pipe to be had: the bytes have to go another way.
    NoPipe,
}

/// The side that failed.
#[derive(Debug)]
pub(crate) enum Fault {
    Read(io::Error),
    Write(io::Error),
}

impl Pipe {
    /// A pipe of [`SIZE`], if one is to be had.
    fn take() -> Option<Self> {
        if IS_FORBIDDEN.get() || IN_USE.get() >= MOST {
            return None;
        }
        let pipe = FREE.with_borrow_mut(Vec::pop).or_else(Self::make)?;
        IN_USE.set(IN_USE.get() + 1);
        Some(pipe)
    }

    fn make() -> Option<Self> {
        let made = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).and_then(|(out, into)| {
            fcntl_setpipe_size(&into, SIZE)?;
            Ok(Self { out, into, held: 0 })
        });
        made.inspect_err(|error| tracing::debug!(%error, "no pipe")).ok()
    }

    fn give(self) {
        IN_USE.set(IN_USE.get() - 1);
        FREE.with_borrow_mut(|free| {
            if self.held == 0 && free.len() < KEPT {
                free.push(self);
            }
        });
    }
}

impl Drop for Splicer {
    fn drop(&mut self) {
        if let Some(pipe) = self.0.take() {
            pipe.give();
        }
    }
}

impl Splicer {
    /// Nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Writes what the pipe holds, or reads up to `limit` bytes into it. Waits only for the writer.
    pub(crate) async fn step(&mut self, from: &Reader<'_>, to: &Writer<'_>, limit: u64) -> Result<Moved, Fault> {
        let (Some(from), Some(to)) = (from.plain(), to.plain()) else {
            return Ok(Moved::NoPipe);
        };
        if self.is_empty() {
            return self.read(from, limit).map_err(Fault::Read);
        }
        poll_fn(|context| self.poll_write(to, context))
            .await
            .map_err(Fault::Write)?;
        Ok(Moved::Written)
    }

    fn read(&mut self, socket: &TcpStream, limit: u64) -> io::Result<Moved> {
        let Some(mut pipe) = Pipe::take() else {
            return Ok(Moved::NoPipe);
        };
        let length = usize::try_from(limit).map_or(SIZE, |limit| limit.min(SIZE));
        let read = || Ok(splice(socket, None, &pipe.into, None, length, flags())?);
        let moved = match socket.try_io(Interest::READABLE, read) {
            Ok(0) => Ok(Moved::End),
            Ok(count) => {
                pipe.held = count;
                Ok(Moved::Read(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Moved::Idle),
            Err(error) if is_forbidden(&error) => {
                tracing::info!(%error, "splice(2) cannot be used here: bytes are copied");
                IS_FORBIDDEN.set(true);
                Ok(Moved::NoPipe)
            }
            Err(error) => Err(error),
        };
        if pipe.held > 0 {
            self.0 = Some(pipe);
        } else {
            pipe.give();
        }
        moved
    }

    fn poll_write(&mut self, socket: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(pipe) = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        loop {
            ready!(socket.poll_write_ready(context))?;
            let write = || Ok(splice(&pipe.out, None, socket, None, pipe.held, flags())?);
            match socket.try_io(Interest::WRITABLE, write) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    pipe.held -= count;
                    if pipe.held == 0 {
                        self.0.take().into_iter().for_each(Pipe::give);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::ACCESS))
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}
