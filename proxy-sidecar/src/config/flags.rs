//! The flags, their help, and what stands below it.

use std::net::SocketAddr;
use std::time::Duration;

use pod_contract::admin;
use pod_contract::config::{Flag, Repeat, Section, list, setting};
use pod_contract::tls;
use pod_contract::units::Bytes;

use super::balancing;
use super::health::{HealthPolicy, HealthUrl};
use super::words::{Count, EndpointUrl, HostHeader, Lenient, Place, TlsName, Tries, Upgrade};
use crate::access_log::AccessLog;

pub(crate) const AFTER_HELP: &str = "\
The protocol is declared by scheme: http:// for HTTP/1.1, tcp:// for bytes, https:// and tls:// for the same in TLS,
h2c:// and h2:// for HTTP/2 without and in TLS, grpc:// and grpcs:// for the same with calls that may last (response-timeout 5m),
postgres:// for bytes of PostgreSQL, which asks for TLS in its own way. All endpoints of a service have the same, and the application speaks it too.
A server in TLS is who its URL says by its certificate, or nothing goes to it. The application speaks plainly (PostgreSQL: sslmode=disable or prefer; HTTP/2: from the first byte).
Each address of a name is an endpoint; names are asked for again as their answers expire, and when connections fail.
A request is sent again when none of it was sent, or the endpoint says that it has not looked at it (any method), or when it is idempotent, at most 64 KiB of it were sent and no response had begun.
A client of HTTP/1.1 that has only ended its direction gets its answer; whether it has left is told by a reset, or when something is written to it.

Example:
  proxy-sidecar --listen 127.0.0.1:9200 --to http://es-1:9200,http://es-2:9200,http://es-3:9200

Several services need a file (--config); each section takes the names of the flags above:
  services:
    orders: {listen: 127.0.0.1:8081, to: http://orders.example:80}
    db: {listen: 127.0.0.1:5432, to: [tcp://db-1.example:5432, tcp://db-2.example:5432]}

Exit codes: 0 stopped with nothing under way, 1 failed or stopped with requests under way, 2 bad flags";

pub(crate) fn flags() -> Vec<Flag> {
    let mut all = service_flags();
    all.extend([
        setting::<Duration>(
            "drain-quiet",
            "DURATION",
            "On stop, serve until nobody asked for so long [default: 1s]",
        ),
        setting::<Duration>("grace", "DURATION", "On stop, give up after [default: 10s]"),
        list::<SocketAddr>(
            "dns",
            "ADDR",
            "Name servers, in the place of those in /etc/resolv.conf; repeatable or separated by commas",
        ),
        admin::flag("Where /healthz, /readyz and /metrics listen, or off [default: 0.0.0.0:9602]"),
    ]);
    all
}

pub(crate) const SECTIONS: &[Section] = &[Section {
    name: "services",
    help: "Each with a listener and the cluster behind it",
    repeat: Repeat::Named,
    flags: service_flags,
}];

pub(super) fn service_flags() -> Vec<Flag> {
    let mut all = vec![
        setting::<SocketAddr>(
            "listen",
            "ADDR",
            "Where the application connects to; keep it on loopback",
        ),
        list::<EndpointUrl>(
            "to",
            "URL",
            "The members of the cluster; repeatable or separated by commas",
        ),
        setting::<HostHeader>(
            "host",
            "WHICH",
            "Host header towards the cluster: rewrite (the endpoint's) or keep (the application's) [default: rewrite]",
        ),
        list::<Upgrade>(
            "upgrade",
            "PROTOCOL",
            "What a connection may change to, such as tcp for docker exec [default: websocket]",
        ),
        list::<Place>(
            "connect",
            "HOST:PORT",
            "Where a CONNECT request may lead, through this process and not the cluster [default: nowhere]",
        ),
        list::<Lenient>(
            "lenient",
            "WORD",
            "What an old server may do in the head of a response: equal-lengths, bare-line-feeds [default: neither]",
        ),
    ];
    all.push(setting::<TlsName>(
        "tls-name",
        "NAME",
        "Who the endpoints' certificates have to be for, and what they are asked for [default: the host in the URL]",
    ));
    all.extend(tls::flags());
    all.extend(balancing::flags());
    all.extend(health());
    all.push(setting::<AccessLog>(
        "access-log",
        "WHICH",
        "A line in the log, at level info, for each request that was understood: off, errors (no complete response below 500) or all; without the query [default: off]",
    ));
    all.extend(times());
    all.extend(limits());
    all
}

/// How endpoints are checked.
fn health() -> Vec<Flag> {
    vec![
        setting::<HealthUrl>(
            "health",
            "URL",
            "What each endpoint, written *, is asked, such as http://*:8008/primary (200 to 399 is a yes), grpc://*/my.Service (SERVING) or tcp://* [default: nothing]",
        ),
        setting::<HealthPolicy>(
            "health-policy",
            "WHAT",
            "prefer (who does not pass is used when nobody does) or require (is not used, and its tunnels are cut) [default: prefer]",
        ),
        setting::<Duration>(
            "health-interval",
            "DURATION",
            "From one check of an endpoint to the next [default: 2s]",
        ),
        setting::<Duration>(
            "health-timeout",
            "DURATION",
            "For one check; the second in a row without an answer counts as a no [default: 1s]",
        ),
    ]
}

/// How long things may take.
fn times() -> Vec<Flag> {
    vec![
        setting::<Duration>(
            "connect-timeout",
            "DURATION",
            "For one endpoint to accept a connection, TLS included; another one is tried beside it after 250ms, or 1s of a handshake; also for it to acknowledge a request of up to 4KiB that is not answered (HTTP/2: 20s) [default: 4s]",
        ),
        setting::<Duration>(
            "resolve-timeout",
            "DURATION",
            "A request waits so long for a name that was never known, or for an endpoint that passes its check [default: 5s]",
        ),
        setting::<Duration>(
            "response-timeout",
            "DURATION",
            "For the head of the response, after the request is sent; also to wait for a turn [default: 60s; of gRPC: 5m]",
        ),
        setting::<Duration>(
            "idle-timeout",
            "DURATION",
            "Without a byte in either direction of an exchange or tunnel [default: 5m]",
        ),
        setting::<Duration>(
            "client-idle",
            "DURATION",
            "Between two requests of one connection [default: 10m]",
        ),
        setting::<Duration>(
            "upstream-idle",
            "DURATION",
            "A connection to an endpoint is kept so long for the next request [default: 4s; of HTTP/2: 5m]",
        ),
        setting::<Duration>(
            "upstream-max-age",
            "DURATION",
            "A connection to an endpoint carries requests so long, up to a fifth less [default: 5m]",
        ),
    ]
}

/// How much there may be.
fn limits() -> Vec<Flag> {
    vec![
        setting::<Count>(
            "max-connections",
            "N",
            "Open connections of the application; more wait for a second, and are refused then [default: 4096]",
        ),
        setting::<Count>(
            "max-requests",
            "N",
            "Requests under way; more wait for their turn [default: 512]",
        ),
        setting::<Bytes>(
            "max-head",
            "SIZE",
            "Request line and headers; larger is answered with 431 [default: 16KiB]",
        ),
        setting::<Tries>(
            "retries",
            "N",
            "Further tries of one request, within the retry budget [default: 2]",
        ),
    ]
}
