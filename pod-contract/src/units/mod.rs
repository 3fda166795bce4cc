//! Values with a unit, parsed once into types that cannot be wrong. A bare number is refused: nobody can tell what it counts.

mod address;
mod duration;
mod hex;
mod plain;
mod size;
mod url;

pub use address::HostPort;
pub use hex::{hex, hex_digits};
pub use plain::OrOff;
pub use size::Bytes;
pub use url::{HttpUrl, Url};
