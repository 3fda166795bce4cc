//! One member of the external cluster.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::http::{Reply, Request, Server};

/// Answers every request with `hello from NAME` and the body it was sent.
#[derive(Debug)]
pub struct Backend {
    server: Server,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    /// Listens on `address`.
    pub fn start(address: &str, name: &str) -> io::Result<Self> {
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, name) = (Arc::clone(&requests), name.to_owned());
        let server = Server::start(address, move |request: &Request| {
            count.fetch_add(1, Ordering::Relaxed);
            let mut body = format!("hello from {name}\n").into_bytes();
            body.extend_from_slice(&request.body);
            Reply::text(200, body)
        })?;
        Ok(Self { server, requests })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Requests answered.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// The server, to cut connections or count them.
    pub fn server(&self) -> &Server {
        &self.server
    }
}
