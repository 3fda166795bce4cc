//! What becomes of a client's connection after a request.

use crate::endpoints::InFlight;
use crate::stream::{Buffer, Stream};

/// What happens to the client's connection.
#[derive(Debug)]
pub(crate) enum Next {
    KeepAlive,
    /// The client has asked for the end, and has sent all it had to: nothing more will come that could reset the answer away.
    Done,
    /// The client may still be sending.
    Close,
    /// The response was cut short, or the client left.
    Abort,
    /// It has become a tunnel.
    Tunnel(Box<Tunnel>),
}

/// The endpoint's side of a connection that was upgraded.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// Counts as load of its endpoint while it lives.
    pub(super) endpoint: InFlight,
    pub(super) server: Stream,
    /// What was read of it already.
    pub(super) early: Buffer,
}
