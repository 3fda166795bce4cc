//! Downloads, from servers that behave and from those that do not.

mod answers;
mod changes;
mod credentials;
mod download;
mod proxies;
mod resume;
mod s3;
mod tls;

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use testbed::http::{Reply, Request, Server};
use testbed::process::command;

use crate::{BIN, Volume, text};

/// A server that remembers what it was asked.
pub(crate) struct Site {
    server: Server,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Site {
    /// `handler` is told how many requests there were before.
    pub(crate) fn start(handler: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let answer = move |request: &Request| {
            let before = {
                let mut seen = kept.lock().unwrap();
                seen.push(request.clone());
                seen.len() - 1
            };
            handler(before, request)
        };
        let server = Server::start("127.0.0.1:0", answer).unwrap();
        Self { server, seen }
    }

    /// Always the same.
    pub(crate) fn serving(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::start(move |_, _| Reply::new(200, "application/octet-stream", body.clone()))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) fn host(&self) -> String {
        self.server.address().to_string()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.target).collect()
    }

    /// The values of a header, request by request.
    pub(crate) fn headers(&self, name: &str) -> Vec<Option<String>> {
        let value = |request: &Request| request.header(name).map(str::to_owned);
        self.requests().iter().map(value).collect()
    }
}

/// Without what the environment of the tests says of proxies, certificates and credentials.
pub(crate) fn init_copy(args: &[&str]) -> Command {
    let mut command = command(BIN);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    for name in [
        "SSL_CERT_FILE",
        "HOME",
        "XDG_RUNTIME_DIR",
        "DOCKER_CONFIG",
        "REGISTRY_AUTH_FILE",
    ] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Runs `init-copy FLAGS URL DEST/`.
pub(crate) fn fetch(volume: &Volume, flags: &[&str], url: &str) -> Output {
    let dest = text(&volume.dest(""));
    let mut args = flags.to_vec();
    args.extend([url, &dest]);
    init_copy(&args).output().unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A response to be cut anywhere.
pub(crate) fn raw(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [(head + "\r\n").as_bytes(), body].concat()
}

/// A complete response with these headers.
pub(crate) fn full(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Reply::Full {
        status,
        headers: headers.iter().map(owned).collect(),
        body: body.to_vec(),
    }
}

/// Bytes that tell where they are.
pub(crate) fn content() -> Vec<u8> {
    (0..20_000_u32).flat_map(u32::to_be_bytes).collect()
}

/// Where the range that was asked for starts.
pub(crate) fn start_of_range(request: &Request) -> Option<usize> {
    request
        .header("range")?
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

/// The rest of `body` from there on, as it should be.
pub(crate) fn rest(request: &Request, body: &[u8], headers: &[(&str, &str)]) -> Reply {
    let start = start_of_range(request).unwrap();
    let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
    full(206, &[headers, &[("Content-Range", &range)]].concat(), &body[start..])
}

/// A quarter of `body`, then a reset.
pub(crate) fn interrupted(body: &[u8], headers: &[(&str, &str)]) -> Reply {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", &length)]].concat();
    Reply::Reset(raw("200 OK", &headers, &body[..body.len() / 4]))
}
