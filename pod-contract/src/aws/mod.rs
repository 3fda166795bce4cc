//! Requests to object stores and other services that want AWS Signature Version 4, and where the keys for that are.

mod credentials;
mod sign;

pub use credentials::{Asked, Credentials, Origin, Token, domain};
pub use sign::{Signing, UNSIGNED_PAYLOAD, encoded_path, sign};
