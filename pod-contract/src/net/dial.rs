//! A blocking connection within a deadline, the look-up of the name included: the system's resolver has none that could be set.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::units::HostPort;

/// Of the resolver; musl keeps its answers on the stack.
const STACK: usize = 128 << 10;

/// Names that are being resolved at a time, so that a resolver that never answers does not collect threads.
const MAX_RESOLVING: usize = 16;
static RESOLVING: AtomicUsize = AtomicUsize::new(0);

/// One of [`MAX_RESOLVING`].
struct Turn<'c>(&'c AtomicUsize);

impl<'c> Turn<'c> {
    fn take(count: &'c AtomicUsize) -> io::Result<Self> {
        let more = |now: usize| (now < MAX_RESOLVING).then_some(now + 1);
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(count)),
            Err(_) => Err(late("the resolver has yet to answer what it was asked before")),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The addresses behind the name; at least one.
pub fn resolve(target: &HostPort, within: Duration) -> io::Result<Vec<SocketAddr>> {
    let ask = |host: &str, port| Ok::<Vec<_>, io::Error>((host, port).to_socket_addrs()?.collect());
    let found = if target.host.parse::<std::net::IpAddr>().is_ok() {
        ask(&target.host, target.port)?
    } else {
        let (host, port) = (target.host.clone(), target.port);
        let (answer, answered) = sync_channel(1);
        let turn = Turn::take(&RESOLVING)?;
        // A late answer is nobody's; the thread ends with it, or with the process.
        thread::Builder::new()
            .name("resolve".into())
            .stack_size(STACK)
            .spawn(move || {
                let _turn = turn;
                drop(answer.send(ask(&host, port)));
            })?;
        answered
            .recv_timeout(within)
            .map_err(|_| late("the name was not resolved in time"))??
    };
    if found.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    Ok(found)
}

/// The first address that accepts a connection; one that does not answer leaves time for the others.
pub fn connect(target: &HostPort, within: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + within;
    let addresses = resolve(target, within)?;
    let mut last = late("timed out");
    for (at, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        if share.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn target(host: &str, port: u16) -> HostPort {
        HostPort {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn names_and_addresses_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let second = Duration::from_secs(5);
        connect(&target("127.0.0.1", port), second).unwrap();
        connect(&target("localhost", port), second).unwrap();
        drop(listener);
        let refused = connect(&target("127.0.0.1", port), second).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn questions_at_a_time_have_a_limit() {
        let count = AtomicUsize::new(0);
        let mut turns: Vec<_> = (0..MAX_RESOLVING).map(|_| Turn::take(&count).unwrap()).collect();
        assert_eq!(Turn::take(&count).err().unwrap().kind(), io::ErrorKind::TimedOut);
        turns.pop();
        Turn::take(&count).unwrap();
    }

    #[test]
    fn a_name_has_no_more_time_than_the_rest() {
        let late = resolve(&target("localhost", 1), Duration::ZERO).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut, "{late}");
        let none = resolve(&target("no-such-name.invalid", 1), Duration::from_secs(60));
        none.unwrap_err();
    }
}
