//! One try of a request on one endpoint: both directions at once, until the response is complete or something ends it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::time::Duration;

use pod_contract::run::lifecycle::CancellationToken;
use pod_contract::tls::explained;
use tokio::time::Instant;

use super::next::Next;
use super::outgoing::{Outgoing, flush};
use super::pump::{Body, Broken};
use crate::access_log::Record;
use crate::config::HostHeader;
use crate::deadline::{Activity, Deadline};
use crate::endpoints::{Endpoint, InFlight};
use crate::lease::Lease;
use crate::message::Decoder;
use crate::message::head::{
    self, Framing, MAX_INTERIMS, MAX_RESPONSE_HEAD, Refused, Request, Response, Rewrite, Rules,
};
use crate::policy::breaker::Evidence;
use crate::policy::retry::Proof;
use crate::respond::Error;
use crate::service::Service;
use crate::stream::{Buffer, Reader, Stream, Writer};

/// After this it is asked whether what was sent has arrived at all.
const LATE: Duration = Duration::from_secs(1);
/// Nearly every kernel takes so much, head and body, for a process that does not read; if it does not take more, that says nothing of the way.
const TAKEN_AT_ONCE: u64 = 4 << 10;

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
    Failed {
        error: Error,
        proof: Proof,
        evidence: Evidence,
    },
    /// The client is at fault: its body is malformed, or does not come.
    BadRequest(Error),
}

/// A request on its way out, through all its tries: what a try has read of the body, the next one does not find with the client.
pub(super) struct Upload<'r> {
    pub(super) request: &'r Request,
    pub(super) decoder: Decoder,
    pub(super) out: RefCell<Outgoing>,
    /// An interim response has gone to the client: it must not be asked for by another try again.
    pub(super) interim: Cell<bool>,
    pub(super) record: Record,
}

/// What is known of whether all of a request has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Assumed,
    /// There is no answer yet.
    Doubted,
    /// The kernel gives up if it is not acknowledged.
    Limited,
}

/// What the two directions of a try share.
struct Progress<'r> {
    request: &'r Request,
    out: &'r RefCell<Outgoing>,
    interim: &'r Cell<bool>,
    record: &'r Record,
    activity: Activity,
    /// All of the request is sent.
    uploaded: Cell<bool>,
    /// When it was, or when it began to be.
    asked_at: Cell<Instant>,
    /// Its kernel has room for all of it, whatever its process does.
    is_taken_at_once: bool,
    /// The endpoint has stopped to take the request.
    refused: Cell<bool>,
    arrival: Cell<Arrival>,
    /// The final response has begun.
    begun: Cell<bool>,
    draining: &'r CancellationToken,
    /// What the endpoint was called, in the place of what the application calls it,
    host: Option<&'r str>,
    /// and where in it.
    prefix: &'r str,
    is_secure: bool,
    /// How long the endpoint may take.
    response_limit: Duration,
    /// How long until what it was sent is acknowledged.
    arrival_limit: Duration,
    /// The request goes elsewhere if it takes longer.
    is_trying: bool,
}

impl<'r> Progress<'r> {
    /// Of a request whose head is in `out`.
    fn new(
        request: &'r Request,
        out: &'r RefCell<Outgoing>,
        (interim, record): (&'r Cell<bool>, &'r Record),
        (endpoint, began): (&'r InFlight, Instant),
        service: &Service,
        draining: &'r CancellationToken,
    ) -> Self {
        let times = &service.config.times;
        let response_limit = times.response.min(endpoint.patience.unwrap_or(Duration::MAX));
        Self {
            request,
            out,
            interim,
            record,
            activity: Activity::within(times.idle, response_limit),
            is_trying: endpoint.patience.is_some(),
            uploaded: Cell::new(false),
            asked_at: Cell::new(began),
            is_taken_at_once: false,
            refused: Cell::new(false),
            arrival: Cell::new(Arrival::Assumed),
            begun: Cell::new(false),
            draining,
            host: None,
            prefix: &endpoint.target.prefix,
            is_secure: endpoint.target.secure.is_some(),
            response_limit,
            arrival_limit: times.connect,
        }
    }

    /// The final response begins.
    fn begin(&self, status: u16, endpoint: &Endpoint, service: &Service) {
        let took = self.uploaded.get().then(|| self.asked_at.get().elapsed());
        endpoint.answered(status, took);
        service.metrics.responded(status, took);
        self.record.answered(status);
        self.begun.set(true);
        self.out.borrow_mut().forget();
        self.request.forget_head();
        self.activity.limit(service.config.times.idle);
    }

    /// What becomes of the client after a complete response, which has told it whether the connection is to `close`.
    fn next(&self, close: bool) -> Next {
        match (close, self.request.keep_alive) {
            (false, _) => Next::KeepAlive,
            (true, false) if self.uploaded.get() => Next::Done,
            (true, _) => Next::Close,
        }
    }

    /// Without an answer, if there was none: it is not known how long that would have taken.
    fn client_left(&self, endpoint: &Endpoint) {
        if self.uploaded.get() && !self.begun.get() {
            endpoint.kept_silent(self.asked_at.get().elapsed());
        }
    }

    /// A while has passed.
    fn doubt_arrival(&self) {
        let is_late = self.uploaded.get() && !self.begun.get() && self.asked_at.get().elapsed() >= LATE;
        if is_late && self.is_taken_at_once && self.arrival.get() == Arrival::Assumed {
            self.arrival.set(Arrival::Doubted);
        }
    }
}

impl<'r> Upload<'r> {
    /// `keeps`: what is sent may have to be sent again.
    pub(super) fn new(request: &'r Request, keeps: bool, record: Record) -> Self {
        Self {
            request,
            decoder: Decoder::new(request.framing),
            out: RefCell::new(Outgoing::new(keeps)),
            interim: Cell::new(false),
            record,
        }
    }

    /// Head and body, in bytes; very much where nobody says.
    fn size(&self) -> u64 {
        let body = match self.request.framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            Framing::Chunked | Framing::UntilClose => u64::MAX,
        };
        body.saturating_add(self.out.borrow().head() as u64)
    }

    /// All of it has been read from the client, so that what comes next is another request.
    pub(super) fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Another try can send all that this one has sent.
    pub(super) fn can_repeat(&self) -> bool {
        !self.interim.get() && self.out.borrow().can_repeat()
    }
}

/// Both directions at once, until the response is complete or something ends it.
pub(super) async fn attempt(
    client: &mut Stream,
    input: &mut Buffer,
    upload: &mut Upload<'_>,
    lease: &mut Lease,
    service: &Service,
    deadline: &mut Deadline,
    draining: &CancellationToken,
) -> Outcome {
    let config = &service.config;
    let endpoint = &**lease.endpoint;
    let request = upload.request;
    let host = (config.host == HostHeader::Rewrite).then_some(&*endpoint.target.host);
    let start = |out: &mut Vec<u8>| request.encode(out, host, &endpoint.target.prefix);
    upload.out.get_mut().start(start);
    upload.record.tries(&lease.endpoint);
    lease.carrier.is_light &= upload.size() <= TAKEN_AT_ONCE;
    let progress = Progress {
        host,
        is_taken_at_once: lease.carrier.is_light,
        ..Progress::new(
            request,
            &upload.out,
            (&upload.interim, &upload.record),
            (&lease.endpoint, lease.began),
            service,
            draining,
        )
    };
    let response_limit = progress.response_limit;
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = lease.carrier.stream.split();
    let body = Body {
        buffer: input,
        decoder: &mut upload.decoder,
        framing: request.framing,
        out: &upload.out,
    };
    let uploading = send(body, &mut client_read, &mut server_write, &progress);
    let download = receive(&mut server_read, &mut client_write, endpoint, service, &progress);
    tokio::pin!(uploading, download);
    let tick = response_limit.min(config.times.idle).min(LATE);
    let mut is_uploading = true;
    loop {
        tokio::select! {
            outcome = &mut download => return outcome,
            broken = &mut uploading, if is_uploading => match broken {
                // The endpoint does not want the rest; its answer may be on the way.
                Err(Broken::Write(_)) => {
                    is_uploading = false;
                    if !progress.begun.get() {
                        progress.activity.limit(response_limit);
                    }
                    progress.refused.set(true);
                }
                Err(Broken::Read(_) | Broken::Truncated) => {
                    progress.client_left(endpoint);
                    return Outcome::ClientGone;
                }
                Err(Broken::Malformed(_)) if progress.begun.get() => return Outcome::ClientGone,
                Err(Broken::Malformed(why)) => return Outcome::BadRequest(Error::BadBody(why)),
                Ok(never) => match never {},
            },
            is_over = deadline.is_idle(&progress.activity, tick) => {
                if is_over {
                    return timed_out(endpoint, service, &progress);
                }
                progress.doubt_arrival();
            }
        }
    }
}

fn timed_out(endpoint: &Endpoint, service: &Service, progress: &Progress<'_>) -> Outcome {
    let config = &service.config;
    if progress.begun.get() {
        Outcome::Cut(format!("nothing moved for {:?}", config.times.idle))
    } else if progress.uploaded.get() || progress.refused.get() || !progress.activity.is_awaiting_input() {
        let error = Error::Timeout {
            endpoint: endpoint.label.clone(),
            after: progress.response_limit,
        };
        Outcome::Failed {
            error,
            // It would be as slow elsewhere, unless it is this endpoint that is in doubt.
            proof: if progress.is_trying {
                Proof::Ambiguous
            } else {
                Proof::Final
            },
            evidence: Evidence::Silent,
        }
    } else {
        Outcome::BadRequest(Error::BodyTimeout(config.times.idle))
    }
}

/// Sends the request, then watches whether the client has broken off, and whether the request arrives. A client that has only ended its
/// direction waits for the answer.
async fn send(
    mut body: Body<'_>,
    client: &mut Reader<'_>,
    server: &mut Writer<'_>,
    progress: &Progress<'_>,
) -> Result<Infallible, Broken> {
    body.copy(client, server, &progress.activity).await?;
    progress.uploaded.set(true);
    if !progress.begun.get() {
        progress.activity.limit(progress.response_limit);
        progress.asked_at.set(progress.activity.moved_at());
    }
    let mut broken_off = pin!(client.broken_off());
    poll_fn(|context| {
        if progress.arrival.get() == Arrival::Doubted {
            server.acknowledged_within(Some(progress.arrival_limit));
            progress.arrival.set(Arrival::Limited);
        }
        broken_off.as_mut().poll(context)
    })
    .await;
    Err(Broken::Truncated)
}

/// Receives the response and sends it to the client.
async fn receive(
    server: &mut Reader<'_>,
    client: &mut Writer<'_>,
    endpoint: &Endpoint,
    service: &Service,
    progress: &Progress<'_>,
) -> Outcome {
    let mut buffer = Buffer::large();
    let out = RefCell::new(Outgoing::new(false));
    let mut interims = 0;
    let response = loop {
        let response = match read_head(server, &mut buffer, &service.config.rules, progress).await {
            Ok(response) => response,
            Err(why) => return failed(why, endpoint, progress),
        };
        if !response.is_interim() {
            break response;
        }
        interims += 1;
        if interims > MAX_INTERIMS {
            return failed(NoHead::Endless, endpoint, progress);
        }
        // HTTP/1.0 has no interim responses.
        if progress.request.is_http11 {
            out.borrow_mut().start(|out| response.encode(out, Framing::None, false));
            progress.interim.set(true);
            if flush(&out, client).await.is_err() {
                return Outcome::ClientGone;
            }
        }
    };
    if progress.arrival.replace(Arrival::Assumed) == Arrival::Limited {
        server.acknowledged_within(None);
    }
    progress.begin(response.status, endpoint, service);
    if response.status == 101 {
        if !progress.uploaded.get() {
            return Outcome::Cut("it changed the protocol before it had the whole request".into());
        }
        out.borrow_mut().start(|out| response.encode(out, Framing::None, false));
        return if flush(&out, client).await.is_ok() {
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
    out.borrow_mut().start(|out| response.encode(out, framing, close));
    let (mut decoder, reusable) = (Decoder::new(response.framing), response.reusable);
    drop(response);
    let mut body = Body {
        buffer: &mut buffer,
        decoder: &mut decoder,
        framing,
        out: &out,
    };
    match body.copy(server, client, &progress.activity).await {
        Ok(()) => {
            // Bytes after the response belong to nothing that was asked.
            Outcome::Complete {
                next: progress.next(close),
                reusable: reusable && buffer.is_empty() && progress.uploaded.get(),
            }
        }
        Err(Broken::Write(_)) => Outcome::ClientGone,
        Err(why) => Outcome::Cut(why.to_string()),
    }
}

/// The kernel says so, and not because the endpoint has broken off.
fn is_of_the_way(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != io::ErrorKind::ConnectionReset
}

enum NoHead {
    Ended(String),
    /// There is no way to the endpoint any more.
    Lost,
    Refused(Refused),
    TooLarge,
    Endless,
}

async fn read_head(
    server: &mut Reader<'_>,
    buffer: &mut Buffer,
    rules: &Rules,
    progress: &Progress<'_>,
) -> Result<Response, NoHead> {
    loop {
        if !buffer.is_empty() {
            let complete = head::complete(buffer.filled(), rules.bare_line_feeds);
            if let Some(length) = complete.map_err(NoHead::Refused)? {
                let head = &buffer.filled()[..length];
                let asked = progress.request.host();
                let rewrite = Rewrite {
                    endpoint: progress.host,
                    prefix: progress.prefix,
                    host: &asked,
                    is_secure: progress.is_secure,
                };
                let response = Response::parse(head, progress.request, rules, &rewrite);
                let response = response.map_err(NoHead::Refused)?;
                buffer.consume(length);
                return Ok(response);
            }
            if buffer.filled().len() > MAX_RESPONSE_HEAD {
                return Err(NoHead::TooLarge);
            }
        }
        match buffer.fill(server).await {
            Ok(0) => return Err(NoHead::Ended("it closed the connection".into())),
            Ok(_) => {}
            Err(e) if progress.arrival.get() == Arrival::Limited && is_of_the_way(&e) => return Err(NoHead::Lost),
            Err(e) => return Err(NoHead::Ended(explained(&e).unwrap_or_else(|| e.kind().to_string()))),
        }
    }
}

fn failed(why: NoHead, endpoint: &Endpoint, progress: &Progress<'_>) -> Outcome {
    let endpoint = endpoint.label.clone();
    let ended = |why, evidence| Outcome::Failed {
        error: Error::BrokenOff {
            endpoint: endpoint.clone(),
            why,
        },
        proof: if progress.out.borrow().was_sent() {
            Proof::Ambiguous
        } else {
            Proof::NotSent
        },
        evidence,
    };
    let untrusted = |why| Outcome::Failed {
        error: Error::Untrusted {
            endpoint: endpoint.clone(),
            why,
        },
        proof: Proof::Final,
        evidence: Evidence::BrokenOff,
    };
    match why {
        NoHead::Lost => {
            let why = format!("nothing acknowledged the request within {:?}", progress.arrival_limit);
            ended(why, Evidence::Unreachable)
        }
        NoHead::Ended(why) => ended(why, Evidence::BrokenOff),
        NoHead::Refused(why) => untrusted(why.to_string()),
        NoHead::Endless => untrusted(format!("more than {MAX_INTERIMS} interim responses")),
        NoHead::TooLarge => untrusted(format!("its head is larger than {MAX_RESPONSE_HEAD} bytes")),
    }
}
