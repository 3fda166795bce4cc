//! Content from HTTP servers: resumed, retried within a deadline, and believed only with its digest or its length.
//!
//! ```text
//! download ─▶ client (redirects, credentials by origin, proxies, TLS) ─▶ ureq
//!    │            └─ retry (which failures pass, how long to wait)
//!    └─ part: the bytes so far under a hidden name of the destination, which outlives this process
//! ```

mod client;
mod credentials;
mod download;
mod part;
mod proxy;
mod retry;
mod s3;
mod secure;
mod url;

pub(crate) use client::{Answer, Authorization, Client, Request};
pub(crate) use credentials::{Credentials, basic};
pub(crate) use download::{Download, Fetched, Tag, download, forget};
pub(crate) use retry::{Deadline, Problem};
pub(crate) use s3::{Object, Store};
pub(crate) use url::WebUrl;
