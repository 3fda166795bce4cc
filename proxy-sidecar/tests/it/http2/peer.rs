//! HTTP/2 on both sides of the proxy.

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What an endpoint does after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    /// The connection breaks off.
    Break,
    /// It ends in order, with what is under way.
    Leave,
}

type Script = Arc<dyn Fn(Turn) -> Pin<Box<dyn Future<Output = After> + Send>> + Send + Sync>;

/// A request that an endpoint has got.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// An endpoint, for as long as the test runs.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: String,
    accepted: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Endpoint {
    /// Answers each request by `script`, as many at once as there may be.
    pub(super) fn start<F>(most: u32, script: impl Fn(Turn) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = After> + Send + 'static,
    {
        let script: Script = Arc::new(move |turn| Box::pin(script(turn)));
        let (accepted, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let counts = (Arc::clone(&accepted), Arc::clone(&asked));
        thread::spawn(move || {
            run(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let mut connections = JoinSet::new();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    counts.0.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(socket, most, Arc::clone(&script), Arc::clone(&counts.1)));
                }
            });
        });
        Self {
            address,
            accepted,
            asked,
        }
    }

    /// Answers each request with this text.
    pub(super) fn saying(text: &'static str) -> Self {
        Self::start(100, move |turn| async move {
            answer(turn.respond, text);
            After::Stay
        })
    }

    /// Connections so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(socket: TcpStream, most: u32, script: Script, asked: Arc<AtomicUsize>) {
    let mut builder = h2::server::Builder::new();
    let mut connection = builder.max_concurrent_streams(most).handshake(socket).await.unwrap();
    let mut scripts = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                asked.fetch_add(1, Ordering::SeqCst);
                let turn = Turn { request, respond };
                scripts.spawn(script(turn));
            }
            Some(after) = scripts.join_next() => match after.unwrap() {
                After::Stay => {}
                After::Break => return,
                After::Leave => connection.graceful_shutdown(),
            }
        }
    }
}

/// A whole response.
pub(super) fn answer(mut respond: SendResponse<Bytes>, text: &'static str) {
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
}

/// Runs a test.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test)
}

/// A client with one connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    send: SendRequest<Bytes>,
    _connection: Arc<JoinSet<Result<(), h2::Error>>>,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: HeaderMap,
    pub(super) body: String,
    pub(super) trailers: HeaderMap,
}

impl Client {
    pub(super) async fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(socket).await.unwrap();
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        Self {
            send,
            _connection: Arc::new(driven),
        }
    }

    /// Begins a request whose body follows.
    pub(super) async fn begin(&self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = self.send.clone().ready().await.unwrap();
        send.send_request(request, false).unwrap()
    }

    /// Sends a request with a body.
    pub(super) async fn send(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut rest) = send.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            rest.send_data(Bytes::copy_from_slice(body), true)?;
        }
        read(response).await
    }

    /// So many of the same at once, answered in whatever order.
    pub(super) async fn at_once(&self, count: usize, method: &'static str, body: &[u8]) -> Vec<Answer> {
        let (mut all, body) = (JoinSet::new(), Bytes::copy_from_slice(body));
        for _ in 0..count {
            let (client, body) = (self.clone(), body.clone());
            all.spawn(async move { client.send(ask(method, "/"), &body).await.unwrap() });
        }
        all.join_all().await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(ask("GET", path), b"").await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send(ask("POST", path), body).await.unwrap()
    }

    /// A call of gRPC.
    pub(super) async fn call(&self, path: &str, body: &[u8]) -> Answer {
        let mut request = ask("POST", path);
        let fields = request.headers_mut();
        fields.insert("content-type", "application/grpc".parse().unwrap());
        fields.insert("te", "trailers".parse().unwrap());
        self.send(request, body).await.unwrap()
    }
}

pub(super) fn ask(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://app.example{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// Reads all of a response.
pub(super) async fn read(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let text = rest(&mut body).await?;
    Ok(Answer {
        status: head.status.as_u16(),
        fields: head.headers,
        body: String::from_utf8_lossy(&text).into_owned(),
        trailers: body.trailers().await?.unwrap_or_default(),
    })
}

/// Reads all of a body.
pub(super) async fn rest(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// A field as text; empty if there is none.
pub(super) fn field<'f>(fields: &'f HeaderMap, name: &str) -> &'f str {
    fields.get(name).map_or("", |value| value.to_str().unwrap())
}
