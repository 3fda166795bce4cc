//! What our binaries meet in a story: an Elasticsearch that stores, a backend that answers.

mod backend;
pub mod loki;
mod store;

pub use backend::Backend;
pub use store::{Document, Store, Verdict};
