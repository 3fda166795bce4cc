//! One request and its response, on one endpoint or, when that is safe, on another.

use std::cell::Cell;
use std::convert::Infallible;

use pod_contract::lifecycle::CancellationToken;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::body::Decoder;
use super::pump::{Broken, copy};
use crate::buffer::Buffer;
use crate::config::HostHeader;
use crate::deadline::{Activity, Deadline};
use crate::head::{self, Framing, Refused, Request, Response};
use crate::respond::Error;
use crate::service::{Service, Tried};
use crate::tunnel;
use crate::upstream::{Endpoint, InFlight, Lease};

/// A response's head; larger is not trusted.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// What happens to the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    KeepAlive,
    Close,
    /// The response was cut short, or the client left.
    Abort,
}

/// How a try on one endpoint ended.
enum Outcome {
    /// The whole response is with the client. The endpoint's connection may serve another request if `reusable`.
    Complete { next: Next, reusable: bool },
    /// 101: the connection is a tunnel from here on; this was read of it already.
    Upgraded(Buffer),
    /// The client left.
    ClientGone,
    /// The endpoint failed after the response had begun.
    Cut(String),
    /// The endpoint failed before anything came back.
    Failed(Error),
    /// The client's body is malformed.
    BadBody(Error),
}

/// What the two directions of a try share.
struct Progress<'r> {
    request: &'r Request,
    activity: Activity,
    /// All of the request is sent.
    uploaded: Cell<bool>,
    /// Something of a response has gone to the client.
    begun: Cell<bool>,
    draining: &'r CancellationToken,
}

/// Sends `request`, whose body begins in `input`, and its response back.
pub(super) async fn exchange(
    client: &mut TcpStream,
    input: &mut Buffer,
    request: &Request,
    service: &Service,
    deadline: &mut Deadline,
    stop: &CancellationToken,
) -> Next {
    service.budget.deposit();
    let mut tried = Tried::default();
    let mut retries = service.config.retries;
    let mut fresh = false;
    loop {
        let Some(endpoint) = service.pick(&tried) else {
            return answer(client, input, request, service, &service.unreachable(&tried)).await;
        };
        let mut lease = match lease(&endpoint.0, service, fresh).await {
            Ok(lease) => lease,
            Err(error) => {
                // Nothing was sent: every endpoint may be asked, whatever the method.
                tried.add(&endpoint.0, &error);
                continue;
            }
        };
        let progress = Progress {
            request,
            activity: Activity::within(service.config.response_timeout),
            uploaded: Cell::new(false),
            begun: Cell::new(false),
            draining: stop,
        };
        let replayable = body_in(input, request).is_some();
        match attempt(client, input, &mut lease, &endpoint, service, deadline, &progress).await {
            Outcome::Complete { next, reusable } => {
                if let (true, Some(length)) = (progress.uploaded.get(), body_in(input, request).filter(|_| replayable))
                {
                    input.consume(length);
                }
                if reusable && progress.uploaded.get() {
                    endpoint.0.give_back(lease.stream);
                }
                return next;
            }
            Outcome::Upgraded(from_server) => {
                return upgraded(client, input, lease, from_server, service, deadline).await;
            }
            Outcome::ClientGone => {
                service.metrics.aborted.inc();
                return Next::Abort;
            }
            Outcome::Cut(why) => {
                service.metrics.cut.inc();
                tracing::warn!(
                    service = service.config.name,
                    endpoint = endpoint.0.name,
                    why,
                    "response cut short"
                );
                return Next::Abort;
            }
            Outcome::BadBody(error) => return answer_and_close(client, request, service, &error).await,
            Outcome::Failed(error) => {
                if !lease.reused {
                    endpoint.0.failed(&error);
                    tried.add(&endpoint.0, &error);
                }
                if !replayable || !may_repeat(request, &error) || !pays_for_retry(service, &mut retries) {
                    return answer(client, input, request, service, &error).await;
                }
                // A kept connection may have been closed in the very moment; a new one tells the truth.
                fresh = lease.reused;
            }
        }
    }
}

/// Whether the endpoint acted on the request is not known: only what may be done twice is sent again. An endpoint that is slow or broken
/// in itself would be so again, and others may be as well.
fn may_repeat(request: &Request, error: &Error) -> bool {
    request.idempotent && !matches!(error, Error::Timeout { .. } | Error::Untrusted { .. })
}

fn pays_for_retry(service: &Service, retries: &mut u32) -> bool {
    let Some(left) = retries.checked_sub(1) else {
        return false;
    };
    if !service.budget.withdraw() {
        service.metrics.retries_denied.inc();
        return false;
    }
    *retries = left;
    service.metrics.retries.inc();
    true
}

async fn lease(endpoint: &Endpoint, service: &Service, fresh: bool) -> Result<Lease, crate::upstream::DialError> {
    let config = &service.config;
    if fresh {
        endpoint
            .dial(config.connect_timeout)
            .await
            .map(|stream| Lease { stream, reused: false })
    } else {
        endpoint.lease(config.connect_timeout, config.upstream_idle).await
    }
}

/// The length of the body, when all of it is in the buffer: then it goes out with the head, and could be sent again.
fn body_in(input: &Buffer, request: &Request) -> Option<usize> {
    match request.framing {
        Framing::None => Some(0),
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= input.filled().len()),
        Framing::Chunked | Framing::UntilClose => None,
    }
}

/// Both directions at once, until the response is complete or something ends it.
async fn attempt(
    client: &mut TcpStream,
    input: &mut Buffer,
    lease: &mut Lease,
    endpoint: &InFlight,
    service: &Service,
    deadline: &mut Deadline,
    progress: &Progress<'_>,
) -> Outcome {
    let config = &service.config;
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = lease.stream.split();
    let host = (config.host == HostHeader::Rewrite).then_some(endpoint.0.name.as_str());
    let upload = upload(&mut client_read, input, &mut server_write, host, progress);
    let download = download(&mut server_read, &mut client_write, endpoint, service, progress);
    tokio::pin!(upload, download);
    let tick = config.response_timeout.min(config.idle_timeout);
    let mut uploading = true;
    loop {
        tokio::select! {
            outcome = &mut download => return outcome,
            broken = &mut upload, if uploading => match broken {
                // The endpoint does not want the rest; its answer may be on the way.
                Err(Broken::Write(_)) => uploading = false,
                Err(Broken::Read(_) | Broken::Truncated) => return Outcome::ClientGone,
                Err(Broken::Malformed(_)) if progress.begun.get() => return Outcome::ClientGone,
                Err(Broken::Malformed(why)) => return Outcome::BadBody(Error::BadBody(why)),
                Ok(never) => match never {},
            },
            () = deadline.idle(&progress.activity, tick) => {
                let (endpoint, after) = (endpoint.0.name.clone(), if progress.begun.get() { config.idle_timeout } else { config.response_timeout });
                return if progress.begun.get() { Outcome::Cut(format!("nothing moved for {after:?}")) } else { Outcome::Failed(Error::Timeout { endpoint, after }) };
            }
        }
    }
}

/// Sends the request, then watches whether the client is still there.
async fn upload(
    client: &mut ReadHalf<'_>,
    input: &mut Buffer,
    server: &mut WriteHalf<'_>,
    host: Option<&str>,
    progress: &Progress<'_>,
) -> Result<Infallible, Broken> {
    let request = progress.request;
    let mut out = Vec::with_capacity(1024);
    request.encode(&mut out, host);
    match body_in(input, request) {
        Some(length) => {
            // Head and body in one write; the buffer keeps the body in case it has to be sent again.
            out.extend_from_slice(&input.filled()[..length]);
            server.write_all(&out).await.map_err(Broken::Write)?;
        }
        None => {
            let mut decoder = Decoder::new(request.framing);
            copy(
                client,
                input,
                &mut decoder,
                server,
                request.framing,
                &mut out,
                &progress.activity,
            )
            .await?;
        }
    }
    drop(out);
    progress.uploaded.set(true);
    progress.activity.mark();
    match client.peek(&mut [0]).await {
        Ok(0) => Err(Broken::Truncated),
        // The next request, early: it is read in its turn, and hides whether the client leaves after it.
        Ok(_) => std::future::pending().await,
        Err(e) => Err(Broken::Read(e)),
    }
}

/// Receives the response and sends it to the client.
async fn download(
    server: &mut ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    endpoint: &InFlight,
    service: &Service,
    progress: &Progress<'_>,
) -> Outcome {
    let mut buffer = Buffer::new();
    let mut out = Vec::with_capacity(1024);
    let response = loop {
        let response = match read_head(server, &mut buffer, progress.request).await {
            Ok(response) => response,
            Err(why) => return failed(why, endpoint, progress),
        };
        if !response.is_interim() {
            break response;
        }
        // HTTP/1.0 has no interim responses.
        if progress.request.is_http11 {
            response.encode(&mut out, Framing::None, false);
            progress.begun.set(true);
            if client.write_all(&out).await.is_err() {
                return Outcome::ClientGone;
            }
            out.clear();
        }
    };
    endpoint.0.succeeded();
    service.metrics.answered(response.status);
    progress.begun.set(true);
    progress.activity.limit(service.config.idle_timeout);
    if response.status == 101 {
        response.encode(&mut out, Framing::None, false);
        return if client.write_all(&out).await.is_ok() {
            Outcome::Upgraded(buffer)
        } else {
            Outcome::ClientGone
        };
    }
    let framing = response.framing_towards(progress.request);
    // An early answer leaves the rest of the request unread, and nobody knows how long that is.
    let close = !progress.request.keep_alive
        || progress.draining.is_cancelled()
        || framing == Framing::UntilClose
        || !progress.uploaded.get();
    response.encode(&mut out, framing, close);
    let mut decoder = Decoder::new(response.framing);
    match copy(
        server,
        &mut buffer,
        &mut decoder,
        client,
        framing,
        &mut out,
        &progress.activity,
    )
    .await
    {
        Ok(()) => {
            let next = if close { Next::Close } else { Next::KeepAlive };
            // Bytes after the response belong to nothing that was asked.
            Outcome::Complete {
                next,
                reusable: response.reusable && buffer.filled().is_empty(),
            }
        }
        Err(Broken::Write(_)) => Outcome::ClientGone,
        Err(why) => Outcome::Cut(why.to_string()),
    }
}

enum NoHead {
    Ended(String),
    Refused(Refused),
    TooLarge,
}

async fn read_head(server: &mut ReadHalf<'_>, buffer: &mut Buffer, request: &Request) -> Result<Response, NoHead> {
    loop {
        if !buffer.filled().is_empty() {
            if let Some(length) = head::complete(buffer.filled()).map_err(NoHead::Refused)? {
                let response = Response::parse(&buffer.filled()[..length], request).map_err(NoHead::Refused)?;
                buffer.consume(length);
                return Ok(response);
            }
            if buffer.filled().len() > MAX_RESPONSE_HEAD {
                return Err(NoHead::TooLarge);
            }
        }
        match buffer.read(server).await {
            Ok(0) => return Err(NoHead::Ended("it closed the connection".into())),
            Ok(_) => {}
            Err(e) => return Err(NoHead::Ended(e.kind().to_string())),
        }
    }
}

fn failed(why: NoHead, endpoint: &InFlight, progress: &Progress<'_>) -> Outcome {
    let endpoint = endpoint.0.name.clone();
    let error = match why {
        NoHead::Ended(why) => Error::BrokenOff { endpoint, why },
        NoHead::Refused(why) => Error::Untrusted {
            endpoint,
            why: why.to_string(),
        },
        NoHead::TooLarge => Error::Untrusted {
            endpoint,
            why: format!("its head is larger than {MAX_RESPONSE_HEAD} bytes"),
        },
    };
    // After an interim response the client would take another try's answer for a second one.
    if progress.begun.get() {
        Outcome::Cut(error.to_string())
    } else {
        Outcome::Failed(error)
    }
}

async fn upgraded(
    client: &mut TcpStream,
    input: &mut Buffer,
    mut lease: Lease,
    from_server: Buffer,
    service: &Service,
    deadline: &mut Deadline,
) -> Next {
    let from_client = std::mem::replace(input, Buffer::new());
    tunnel::run(
        client,
        &mut lease.stream,
        Some((from_client, from_server)),
        deadline,
        service.config.idle_timeout,
    )
    .await;
    Next::Abort
}

/// Answers in the place of the cluster. The connection stays usable when all of the request has been read.
async fn answer(
    client: &mut TcpStream,
    input: &mut Buffer,
    request: &Request,
    service: &Service,
    error: &Error,
) -> Next {
    let Some(length) = body_in(input, request).filter(|_| request.keep_alive) else {
        return answer_and_close(client, request, service, error).await;
    };
    input.consume(length);
    tell(service, error);
    match client.write_all(&error.encode(false, request.is_head)).await {
        Ok(()) => Next::KeepAlive,
        Err(_) => Next::Abort,
    }
}

async fn answer_and_close(client: &mut TcpStream, request: &Request, service: &Service, error: &Error) -> Next {
    tell(service, error);
    match client.write_all(&error.encode(true, request.is_head)).await {
        Ok(()) => Next::Close,
        Err(_) => Next::Abort,
    }
}

fn tell(service: &Service, error: &Error) {
    service.metrics.answered(error.status().0);
    tracing::warn!(service = service.config.name, %error, "answered in the place of the cluster");
}
