//! An address bound at the start, or the reason why not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use crate::probe;
use crate::start::exit::Failure;
use crate::units::HostPort;

/// Connections that the kernel completes and keeps until they are accepted; `net.core.somaxconn` caps it. A neighbour that starts may
/// open hundreds at once, and a full queue costs each of them a second.
const BACKLOG: u32 = 1024;
/// For whoever holds the port to say its name.
const ASK: Duration = Duration::from_millis(500);

/// Binds `address`; `setting` names the flag that holds it.
pub async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, Failure> {
    listen(address).map_err(|error| {
        let failure = Failure::failed(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            io::ErrorKind::AddrInUse => taken(failure, address, setting),
            io::ErrorKind::AddrNotAvailable => failure.remedy(format!(
                "{setting} has to be an address of this pod, such as 127.0.0.1 or 0.0.0.0 with a port"
            )),
            io::ErrorKind::PermissionDenied => failure.remedy(format!("choose a port from 1024 up with {setting}")),
            _ => failure,
        }
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The containers of a pod share one network: the holder of the port is a neighbour, and answers if it is one of ours.
fn taken(mut failure: Failure, address: SocketAddr, setting: &str) -> Failure {
    let host = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
        ip if ip.is_unspecified() => "::1".to_owned(),
        ip => ip.to_string(),
    };
    let port = address.port();
    let holder = match probe::server(&HostPort { host, port }, ASK) {
        Some(name) => {
            failure.cause += &format!("; {name} answers there");
            "it".to_owned()
        }
        None => "another process of the pod".to_owned(),
    };
    let other = SocketAddr::new(address.ip(), port.checked_add(10).unwrap_or(port - 10));
    failure.remedy(format!(
        "{holder} holds this port, for the containers of a pod share one network; choose another one with {setting}, such as {other}"
    ))
}

/// Tells where `listener` really listens: port 0 has become some port.
pub fn announce(listener: &TcpListener, event: &'static str) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{event}");
    }
}
