//! Our HTTP/1.1: one task a client, both directions of a body at once.

mod attempt;
mod connect;
mod connection;
mod exchange;
mod next;
mod outgoing;
mod pump;

pub(crate) use connection::{refuse, serve};
pub(crate) use exchange::{Asked, exchange};
pub(crate) use next::Next;
pub(crate) use pump::Broken;
