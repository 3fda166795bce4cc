//! Messages: what their heads mean, and of HTTP/1.1, which are bytes, where their bodies end. No I/O.

mod body;
pub(crate) mod head;
pub(crate) mod http2;

pub(crate) use body::{Decoder, Malformed, Step};
