//! Requests to object stores and other services that want AWS Signature Version 4, and where the keys for that are.

mod buckets;
mod credentials;
mod settings;
mod sign;

pub use buckets::{Bucket, Buckets};
use credentials::domain;
pub use credentials::{Asked, Credentials, Origin, Token, element};
pub use settings::{Place, SETTINGS, flags};
use sign::encoded_path;
pub use sign::{Signing, UNSIGNED_PAYLOAD, sign};
