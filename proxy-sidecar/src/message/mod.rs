//! Messages of HTTP/1.1 as bytes: what their heads mean, and where their bodies end. No I/O.

mod body;
pub(crate) mod head;

pub(crate) use body::{Decoder, Malformed, Step};
