//! One message a datagram: RFC 5426. Nobody acknowledges them, so a record is settled once the kernel has taken it, and what is lost on the
//! way nobody knows.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use pod_contract::units::HostPort;
use tokio::net::{UdpSocket, lookup_host};

use crate::sink::Verdict;
use crate::sink::connect::chain;

/// What fits into one, bytes: 65,535 without the heads of IP and UDP.
const LONGEST: usize = 65_507;

/// What is sent at once: what the server's kernel has no room for is lost.
const BURST: usize = 32 << 10;
const PAUSE: Duration = Duration::from_millis(1);

/// To the first address of a name that has a route.
pub(super) async fn connect(HostPort { host, port }: &HostPort) -> io::Result<UdpSocket> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host.as_str(), *port)).await? {
        match connect_to(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Sends messages in their order, up to the first that cannot be sent now; the ends of them in `body` are `ends`.
pub(super) async fn send(socket: &UdpSocket, body: &[u8], ends: &[usize]) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(ends.len());
    let (mut start, mut sent_at_once) = (0, 0);
    for &end in ends {
        let message = &body[start..end];
        start = end;
        if message.len() > LONGEST {
            let length = message.len();
            verdicts.push(Verdict::Reject(format!(
                "a datagram has room for {LONGEST} bytes, and the message has {length}"
            )));
            continue;
        }
        if sent_at_once + message.len() > BURST {
            tokio::time::sleep(PAUSE).await;
            sent_at_once = 0;
        }
        sent_at_once += message.len();
        match socket.send(message).await {
            Ok(_) => verdicts.push(Verdict::Delivered),
            // Of the message before, if nobody listens there.
            Err(error) => {
                verdicts.resize(ends.len(), Verdict::Retry(chain(&error)));
                break;
            }
        }
    }
    verdicts
}
