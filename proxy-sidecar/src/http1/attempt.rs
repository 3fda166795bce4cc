//! One try of a request on one endpoint: both directions at once, until the response is complete or something ends it.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use pod_contract::run::lifecycle::CancellationToken;
use tokio::io::AsyncWriteExt as _;

use super::next::Next;
use super::pump::{Broken, copy};
use crate::config::HostHeader;
use crate::deadline::{Activity, Deadline};
use crate::endpoints::InFlight;
use crate::message::Decoder;
use crate::message::head::{self, Framing, Refused, Request, Response};
use crate::pool::Lease;
use crate::respond::Error;
use crate::service::Service;
use crate::stream::{Buffer, Reader, Stream, Writer};

/// A response's head; larger is not trusted.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// How a try on one endpoint ended.
pub(super) enum Outcome {
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
    /// The client is at fault: its body is malformed, or does not come.
    BadRequest(Error),
}

/// What the two directions of a try share.
pub(super) struct Progress<'r> {
    request: &'r Request,
    /// The length of a body that goes out with the head.
    body: Option<usize>,
    activity: Activity,
    /// All of the request is sent.
    pub(super) uploaded: Cell<bool>,
    /// The endpoint has stopped to take the request.
    refused: Cell<bool>,
    /// An interim response has gone to the client: it must not be asked for by another try again.
    pub(super) interim: Cell<bool>,
    /// The final response has begun.
    begun: Cell<bool>,
    draining: &'r CancellationToken,
}

impl<'r> Progress<'r> {
    pub(super) fn new(
        request: &'r Request,
        body: Option<usize>,
        service: &Service,
        draining: &'r CancellationToken,
    ) -> Self {
        // While the body comes, it is the client who has to move.
        let limit = if body.is_some() {
            service.config.response_timeout
        } else {
            service.config.idle_timeout
        };
        Self {
            request,
            body,
            activity: Activity::within(limit),
            uploaded: Cell::new(false),
            refused: Cell::new(false),
            interim: Cell::new(false),
            begun: Cell::new(false),
            draining,
        }
    }
}

/// The length of the body, when all of it is in the buffer: then it goes out with the head, and could be sent again.
pub(super) fn body_in(input: &Buffer, request: &Request) -> Option<usize> {
    match request.framing {
        Framing::None => Some(0),
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= input.filled().len()),
        Framing::Chunked | Framing::UntilClose => None,
    }
}

/// Both directions at once, until the response is complete or something ends it.
pub(super) async fn attempt(
    client: &mut Stream,
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
    let upload = upload(
        &mut client_read,
        input,
        &mut server_write,
        host,
        config.response_timeout,
        progress,
    );
    let download = download(&mut server_read, &mut client_write, endpoint, service, progress);
    tokio::pin!(upload, download);
    let tick = config.response_timeout.min(config.idle_timeout);
    let mut uploading = true;
    loop {
        tokio::select! {
            outcome = &mut download => return outcome,
            broken = &mut upload, if uploading => match broken {
                // The endpoint does not want the rest; its answer may be on the way.
                Err(Broken::Write(_)) => {
                    uploading = false;
                    progress.activity.limit(config.response_timeout);
                    progress.refused.set(true);
                }
                Err(Broken::Read(_) | Broken::Truncated) => return Outcome::ClientGone,
                Err(Broken::Malformed(_)) if progress.begun.get() => return Outcome::ClientGone,
                Err(Broken::Malformed(why)) => return Outcome::BadRequest(Error::BadBody(why)),
                Ok(never) => match never {},
            },
            () = deadline.idle(&progress.activity, tick) => return timed_out(endpoint, service, progress),
        }
    }
}

fn timed_out(endpoint: &InFlight, service: &Service, progress: &Progress<'_>) -> Outcome {
    let config = &service.config;
    if progress.begun.get() {
        Outcome::Cut(format!("nothing moved for {:?}", config.idle_timeout))
    } else if progress.uploaded.get() || progress.refused.get() || !progress.activity.is_awaiting_input() {
        Outcome::Failed(Error::Timeout {
            endpoint: endpoint.0.name.clone(),
            after: config.response_timeout,
        })
    } else {
        Outcome::BadRequest(Error::BodyTimeout(config.idle_timeout))
    }
}

/// Sends the request, then watches whether the client is still there.
async fn upload(
    client: &mut Reader<'_>,
    input: &mut Buffer,
    server: &mut Writer<'_>,
    host: Option<&str>,
    response_timeout: Duration,
    progress: &Progress<'_>,
) -> Result<Infallible, Broken> {
    let request = progress.request;
    let mut out = Vec::with_capacity(1024);
    request.encode(&mut out, host);
    match progress.body {
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
    if !progress.begun.get() {
        progress.activity.limit(response_timeout);
    }
    match client.peek(&mut [0]).await {
        Ok(0) => Err(Broken::Truncated),
        // The next request, early: it is read in its turn, and hides whether the client leaves after it.
        Ok(_) => std::future::pending().await,
        Err(e) => Err(Broken::Read(e)),
    }
}

/// Receives the response and sends it to the client.
async fn download(
    server: &mut Reader<'_>,
    client: &mut Writer<'_>,
    endpoint: &InFlight,
    service: &Service,
    progress: &Progress<'_>,
) -> Outcome {
    let mut buffer = Buffer::new();
    let mut out = Vec::with_capacity(1024);
    let response = loop {
        let response = match read_head(server, &mut buffer, progress.request).await {
            Ok(response) => response,
            Err(why) => return failed(why, endpoint),
        };
        if !response.is_interim() {
            break response;
        }
        // HTTP/1.0 has no interim responses.
        if progress.request.is_http11 {
            response.encode(&mut out, Framing::None, false);
            progress.interim.set(true);
            progress.activity.mark();
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

async fn read_head(server: &mut Reader<'_>, buffer: &mut Buffer, request: &Request) -> Result<Response, NoHead> {
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

fn failed(why: NoHead, endpoint: &InFlight) -> Outcome {
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
    Outcome::Failed(error)
}
