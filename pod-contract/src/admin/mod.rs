//! The read-only admin address: `/healthz` (alive), `/readyz` (ready), `/metrics`.
//!
//! It changes nothing, so it may listen on every interface, where the kubelet and Prometheus find it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Flag, Settings, setting};
use crate::metrics::{Registry, exposition, negotiate};
use crate::net::listen::{announce, bind};
use crate::net::serve::serve;
use crate::run::ready::Ready;
use crate::start::exit::Failure;
use crate::units::OrOff;

/// The flag `--admin`; `help` names the default.
pub fn flag(help: &'static str) -> Flag {
    setting::<OrOff<SocketAddr>>("admin", "ADDR", help)
}

/// Where the admin side listens; `None` when it is `off`.
pub fn prove(settings: &mut Settings<'_>, default_port: u16) -> Option<Option<SocketAddr>> {
    settings
        .or("admin", OrOff(Some(SocketAddr::from(([0, 0, 0, 0], default_port)))))
        .map(|address| address.0)
}

/// Would the two meet on one port?
pub fn meets(listen: Option<SocketAddr>, admin: Option<SocketAddr>) -> bool {
    listen.zip(admin).is_some_and(|(a, b)| {
        a.port() == b.port()
            && a.port() != 0
            && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
    })
}

/// What the admin side shows.
pub struct Admin {
    /// `NAME/VERSION` of the program, said with every answer: whoever finds the port taken learns by whom.
    pub server: &'static str,
    /// For `/readyz`.
    pub ready: Ready,
    /// For `/metrics`.
    pub registry: Registry,
}

/// The admin side once its address is bound.
pub struct Bound(Option<TcpListener>);

/// Binds `address`, if it is not off, so that a taken port fails the start.
pub async fn listen(address: Option<SocketAddr>) -> Result<Bound, Failure> {
    Ok(Bound(match address {
        Some(address) => {
            let listener = bind(address, "--admin").await?;
            announce(&listener, "admin listening");
            Some(listener)
        }
        None => None,
    }))
}

impl Bound {
    /// Answers until `stop`. A process that is draining goes on telling that it is alive, so pass a token that ends with the drain.
    pub async fn serve(self, admin: Admin, stop: CancellationToken) {
        match self.0 {
            Some(listener) => serve(listener, stop, async move |request| admin.answer(&request)).await,
            None => stop.cancelled().await,
        }
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = self.route(request);
        response
            .headers_mut()
            .insert(SERVER, HeaderValue::from_static(self.server));
        response
    }

    fn route(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n".into());
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" => match self.ready.waiting().as_slice() {
                [] => text(StatusCode::OK, "ready\n".into()),
                waiting => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("waiting for: {}\n", waiting.join(", ")),
                ),
            },
            "/metrics" => self.metrics(request),
            _ => text(
                StatusCode::NOT_FOUND,
                "here are /healthz, /readyz and /metrics\n".into(),
            ),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let format = negotiate(request.headers());
        answer(
            StatusCode::OK,
            format.content_type(),
            exposition(&self.registry, format),
        )
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
