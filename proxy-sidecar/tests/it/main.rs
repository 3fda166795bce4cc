//! The real binary between a client and a cluster, both of which may misbehave.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod access_log;
mod balance;
mod connect;
mod dns;
mod failover;
mod flags;
mod health;
mod http;
mod http2;
mod limits;
mod postgres;
mod smuggling;
mod stops;
mod tcp;
mod tls;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testbed::client::{Response, read_response};
use testbed::http::{Reply, Request, Server};
use testbed::process::Running;

const BIN: &str = env!("CARGO_BIN_EXE_proxy-sidecar");

/// The proxy in front of `endpoints` (`HOST:PORT`), and its address.
fn proxy(scheme: &str, endpoints: &[&str], more: &[&str]) -> (Running, String) {
    let to: Vec<String> = endpoints
        .iter()
        .map(|endpoint| format!("{scheme}://{endpoint}"))
        .collect();
    let to = to.join(",");
    let mut args = vec![
        "--listen",
        "127.0.0.1:0",
        "--to",
        &to,
        "--admin",
        "127.0.0.1:0",
        "--drain-quiet",
        "50ms",
    ];
    args.extend(more);
    let running = Running::start(BIN, &args);
    let address = running.address("\"listening\"");
    (running, address)
}

fn http_proxy(endpoints: &[&str]) -> (Running, String) {
    proxy("http", endpoints, &[])
}

/// A well-behaved endpoint that tells what it was sent.
fn echo() -> Server {
    Server::start("127.0.0.1:0", |request: &Request| {
        let mut body = format!("{} {}\n", request.method, request.target).into_bytes();
        for (name, value) in &request.headers {
            body.extend(format!("{name}: {value}\n").into_bytes());
        }
        body.push(b'\n');
        body.extend_from_slice(&request.body);
        Reply::text(200, body)
    })
    .unwrap()
}

/// An endpoint that runs `script` on each connection.
fn raw_endpoint(script: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let script = std::sync::Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = std::sync::Arc::clone(&script);
            thread::spawn(move || script(stream));
        }
    });
    address
}

/// An endpoint that sends back all that it was sent, once that has ended.
fn mirror() -> String {
    raw_endpoint(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    })
}

/// So many bytes, four at a time, come back from a [`mirror`] after our half was closed.
fn assert_mirrored(address: &str, size: u32) {
    let mut client = Client::connect(address);
    let sent: Vec<u8> = (0..size.div_ceil(4)).flat_map(u32::to_le_bytes).collect();
    client.send(&sent);
    client.close_write();
    assert!(client.rest() == sent);
}

/// Reads until `end` has arrived; what was read.
fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        read.push(byte[0]);
    }
    read
}

/// Waits until the admin side shows `line`.
fn wait_for_metric(proxy: &Running, line: &str) {
    let admin = proxy.address("admin listening");
    testbed::wait::until(line, || {
        let metrics = testbed::client::get(&admin, "/metrics").unwrap().text();
        metrics.lines().any(|found| found == line).then_some(())
    });
}

/// An address where packets vanish, while the guard lives: its queue of connections is full.
struct BlackHole {
    address: String,
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok());
        Self {
            _queued: queued.collect(),
            address: address.to_string(),
            listener,
        }
    }

    /// Takes what is queued, so that new connections stand again.
    fn empty(self) -> TcpListener {
        rustix::net::listen(&self.listener, 128).unwrap();
        self.listener
    }
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A client's connection.
struct Client(TcpStream);

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn response(&mut self) -> Response {
        read_response(&mut self.0).unwrap()
    }

    fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n").as_bytes());
        self.response()
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Response {
        let length = body.len();
        self.send(format!("POST {path} HTTP/1.1\r\nHost: app\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        self.send(body);
        self.response()
    }

    /// What comes until the end of the stream, or until nothing has come for so long.
    fn rest_for(&mut self, quiet: Duration) -> Vec<u8> {
        self.0.set_read_timeout(Some(quiet)).unwrap();
        self.rest()
    }

    /// Everything until the end of the stream.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        drop(self.0.read_to_end(&mut rest));
        rest
    }

    /// Breaks off: not an end, but a reset.
    fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }

    fn close_write(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }
}
