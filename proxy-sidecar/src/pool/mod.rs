//! Connections to one endpoint: those of HTTP/1.1 wait for a request, those of HTTP/2 carry many at once.

mod http1;
mod http2;

pub(crate) use http1::{Kept, Pool};
pub(crate) use http2::{Connection, Opening, Shared, Slot};
