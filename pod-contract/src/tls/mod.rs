//! TLS for all clients and servers of ours, by rustls with ring: what is trusted and shown, and why a handshake failed.
//!
//! ```text
//! files ──Material──▶ client settings ──▶ ureq, hyper, our own codec
//!   │ (one unit, re-read on change)
//!   └────────────────▶ server settings
//! ```
//!
//! No runtime is needed: what is made here are rustls' own settings.

mod certificate;
mod client;
mod explain;
mod material;
mod pem;
mod pinned;
mod renewing;
mod server;
mod settings;

pub use client::{Trust, client};
pub use explain::{cause, explain, explained};
pub use material::{Identity, Material, Sources};
pub use pem::public_keys;
pub use renewing::Renewing;
pub use server::server;
pub use settings::{NAMES, Tls, flags};
