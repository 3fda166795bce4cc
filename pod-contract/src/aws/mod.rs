//! Requests to object stores and other services that want AWS Signature Version 4, and where the keys for that are.

mod buckets;
mod credentials;
mod sign;

pub use buckets::{Bucket, Buckets};
use credentials::domain;
pub use credentials::{Asked, Credentials, Origin, Token};
use sign::encoded_path;
pub use sign::{Signing, UNSIGNED_PAYLOAD, sign};
