//! A blocking HTTP/1.1 server whose handler may misbehave at will: answer late, half, raw, or not at all.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use socket2::{SockFilter, SockRef};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names as sent.
    pub headers: Vec<(String, String)>,
    /// Without chunk framing, and unpacked if its coding is gzip.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What the handler answers.
#[derive(Debug)]
pub enum Reply {
    /// A complete response with a length; the connection stays open.
    Full {
        /// Status code.
        status: u16,
        /// Besides `Content-Length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, then the connection is reset.
    Reset(Vec<u8>),
    /// These bytes, then nothing until the client gives up.
    Hang(Vec<u8>),
    /// The connection is closed without an answer.
    Close,
}

impl Reply {
    /// A response with a content type.
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Full {
            status,
            headers: vec![("Content-Type".into(), kind.into())],
            body: body.into(),
        }
    }

    /// A plain text response.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }
}

/// A server on a thread; stops taking connections, and cuts those it has, when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    stopped: Mutex<bool>,
    listener: Mutex<Option<TcpListener>>,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
}

impl State {
    /// A linger of nothing makes the last close a reset; ours is not the last one while there is a twin.
    fn forget(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|twin| twin.peer_addr().ok() != peer);
    }
}

impl Server {
    /// Listens on `address` (port 0 for any) and answers each request with `handler`.
    pub fn start(address: &str, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        *state.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener.try_clone()?);
        let (handler, shared) = (Arc::new(handler), Arc::clone(&state));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if *shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                if let Ok(twin) = stream.try_clone() {
                    shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(twin);
                }
                let handler = Arc::clone(&handler);
                // A connection that breaks is the client's business.
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    if matches!(converse(&stream, &*handler), Ok(Ended::Reset)) {
                        state.forget(&stream);
                    }
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// From now on no packet arrives, neither of its connections nor of new ones, as if its machine were gone.
    pub fn vanish(&self) -> io::Result<()> {
        const RETURN: u16 = 0x06;
        let nothing = [SockFilter::new(RETURN, 0, 0, 0)];
        let listener = self.state.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = &*listener {
            SockRef::from(listener).attach_filter(&nothing)?;
        }
        let open = self.state.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter()
            .try_for_each(|stream| SockRef::from(stream).attach_filter(&nothing))
    }

    /// Cuts every open connection; new ones are welcome.
    pub fn cut(&self) {
        for stream in self.state.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.state.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let listener = self
            .state
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // It fails where there is no filter.
        listener
            .into_iter()
            .for_each(|listener| drop(SockRef::from(&listener).detach_filter()));
        // Wakes the accepting thread, which then sees that it is over and closes the listener.
        let woken = TcpStream::connect(self.address);
        self.cut();
        drop(woken);
        // The port is free only when the thread has gone.
        crate::wait::until("the port to be free", || TcpListener::bind(self.address).ok().map(drop));
    }
}

enum Ended {
    Closed,
    Reset,
}

fn converse(stream: &TcpStream, handler: &dyn Fn(&Request) -> Reply) -> io::Result<Ended> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let mut stream = stream;
        match handler(&request) {
            Reply::Full { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                let mut answer = (head + "\r\n").into_bytes();
                if request.method != "HEAD" {
                    answer.extend(body);
                }
                stream.write_all(&answer)?;
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes)?;
                stream.shutdown(Shutdown::Both)?;
                break;
            }
            Reply::Reset(bytes) => {
                stream.write_all(&bytes)?;
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
                return Ok(Ended::Reset);
            }
            Reply::Hang(bytes) => {
                stream.write_all(&bytes)?;
                // Ends with the client, or when the server is dropped.
                io::copy(&mut stream, &mut io::sink())?;
                break;
            }
            Reply::Close => {
                stream.shutdown(Shutdown::Both)?;
                break;
            }
        }
    }
    Ok(Ended::Closed)
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(io::Error::other)?;
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers,
        body: Vec::new(),
    };
    request.body = read_body(reader, &request)?;
    if request.header("content-encoding") == Some("gzip") {
        let packed = std::mem::take(&mut request.body);
        GzDecoder::new(packed.as_slice()).read_to_end(&mut request.body)?;
    }
    Ok(Some(request))
}

fn read_body(reader: &mut BufReader<&TcpStream>, request: &Request) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if request.header("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            if size == 0 {
                while reader.read_line(&mut line)? > 2 {}
                return Ok(body);
            }
            reader.take(size).read_to_end(&mut body)?;
            reader.read_line(&mut line)?;
        }
    }
    let length: u64 = request
        .header("content-length")
        .map_or(Ok(0), str::parse)
        .map_err(io::Error::other)?;
    reader.take(length).read_to_end(&mut body)?;
    Ok(body)
}
