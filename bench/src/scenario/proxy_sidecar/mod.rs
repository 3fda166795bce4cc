//! The scenarios of `proxy-sidecar`: requests on connections that are kept, and what its peers are told to do the same with one thread or
//! worker each.

use std::fs;

use crate::error::{During as _, Error};
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::run::generator::ALL_WELL;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Traffic, Work, folder};

pub(super) const REQUESTS: Scenario = Scenario {
    name: "proxy-requests",
    kind: Kind::Runs(|place| {
        let what = "100,000 requests with a body of 41 bytes, on 64 connections that are kept";
        prepare(place, SMALL, what, 0.85)
    }),
};

pub(super) const CONNECTIONS: Scenario = Scenario {
    name: "proxy-connections",
    kind: Kind::Runs(|place| {
        let what = "100,000 requests with a body of 41 bytes, each on a connection of its own";
        prepare(place, Traffic { close: true, ..SMALL }, what, 1.1)
    }),
};

pub(super) const MEDIUM: Scenario = Scenario {
    name: "proxy-medium",
    kind: Kind::Runs(|place| {
        let what = "1 GiB in bodies of 16 KiB, on 64 connections that are kept";
        prepare(place, a_gib_of(16 << 10, 64), what, 0.9)
    }),
};

pub(super) const LARGE: Scenario = Scenario {
    name: "proxy-large",
    kind: Kind::Runs(|place| {
        let what = "1 GiB in bodies of 256 KiB, on 16 connections that are kept";
        prepare(place, a_gib_of(256 << 10, 16), what, 0.9)
    }),
};

pub(super) const HTTPS: Scenario = Scenario {
    name: "proxy-https",
    kind: Kind::Runs(|place| {
        let what = "100,000 requests with a body of 41 bytes to an origin in TLS, on 64 connections that are kept";
        prepare(place, Traffic { secure: true, ..SMALL }, what, 1.1)
    }),
};

pub(super) const HTTPS_LARGE: Scenario = Scenario {
    name: "proxy-https-large",
    kind: Kind::Runs(|place| {
        let what = "1 GiB in bodies of 256 KiB from an origin in TLS, on 16 connections that are kept";
        let traffic = Traffic {
            secure: true,
            ..a_gib_of(256 << 10, 16)
        };
        prepare(place, traffic, what, 1.1)
    }),
};

pub(super) const STREAMS: Scenario = Scenario {
    name: "proxy-streams",
    kind: Kind::Runs(|place| {
        let what = "100,000 requests with a body of 41 bytes in HTTP/2 on both sides, 100 at once on one connection";
        let traffic = Traffic {
            connections: 1,
            streams: 100,
            ..SMALL
        };
        prepare(place, traffic, what, 1.0)
    }),
};

const SMALL: Traffic = Traffic {
    connections: 64,
    streams: 0,
    seconds: 5,
    body: 41,
    per: 100_000,
    close: false,
    secure: false,
};

fn a_gib_of(body: u64, connections: u64) -> Traffic {
    Traffic {
        connections,
        body,
        per: (1 << 30) / body,
        ..SMALL
    }
}

/// As its documentation has it, with one thread.
const HAPROXY: &str = "\
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend proxy
  bind 127.0.0.1:@PORT@@HTTP2@
  default_backend origin
backend origin
  balance leastconn
  http-reuse always
  server one 127.0.0.1:@ONE@@TLS@@HTTP2@
  server two 127.0.0.1:@TWO@@TLS@@HTTP2@
";
const HAPROXY_TLS: &str =
    " ssl verify required sni str(origin.example) verifyhost origin.example ca-file @SCRATCH@/origin/ca.pem";

/// With one worker, and connections to its servers that are kept.
const NGINX: &str = "\
daemon off;
worker_processes 1;
pid @SCRATCH@/pid;
error_log @SCRATCH@/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path @SCRATCH@/t; proxy_temp_path @SCRATCH@/t; fastcgi_temp_path @SCRATCH@/t;
  uwsgi_temp_path @SCRATCH@/t; scgi_temp_path @SCRATCH@/t;
  upstream origin {
    least_conn; server 127.0.0.1:@ONE@; server 127.0.0.1:@TWO@;
    keepalive 256; keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:@PORT@@HTTP2@ backlog=1024;
    location / { @TLS@; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }
  }
}
";
const NGINX_TLS: &str = "proxy_pass https://origin; proxy_ssl_verify on; proxy_ssl_name origin.example; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.2 TLSv1.3; \
                         proxy_ssl_trusted_certificate @SCRATCH@/origin/ca.pem";
const NGINX_PLAIN: &str = "proxy_pass http://origin";
/// Its only way to speak HTTP/2 to a server.
const NGINX_HTTP2: &str = "grpc_pass grpc://origin";

fn prepare(place: &Place<'_>, traffic: Traffic, what: &str, haproxy: f64) -> Result<Work, Error> {
    let folder = folder(place.memory)?;
    let path = folder.path().join("expected");
    fs::write(&path, ALL_WELL).during("write", &path)?;
    let source = folder.path().join("source");
    fs::create_dir(&source).during("create", &source)?;
    let tls = if traffic.secure {
        [HAPROXY_TLS, NGINX_TLS]
    } else {
        ["", if traffic.streams > 0 { NGINX_HTTP2 } else { NGINX_PLAIN }]
    };
    let is_http2 = traffic.streams > 0;
    let http2 = if is_http2 { [" proto h2", " http2"] } else { [""; 2] };
    for (((name, conf), tls), http2) in [("haproxy", HAPROXY), ("nginx", NGINX)].into_iter().zip(tls).zip(http2) {
        let path = source.join(name);
        let conf = conf.replace("@TLS@", tls).replace("@HTTP2@", http2);
        fs::write(&path, conf).during("write", &path)?;
    }
    let to = match (traffic.secure, is_http2) {
        (true, _) => "https://127.0.0.1:{one},https://127.0.0.1:{two}",
        (false, true) => "h2c://127.0.0.1:{one},h2c://127.0.0.1:{two}",
        (false, false) => "http://127.0.0.1:{one},http://127.0.0.1:{two}",
    };
    let mut words = vec![
        "--listen",
        "127.0.0.1:{port}",
        "--to",
        to,
        "--admin",
        "off",
        "--log-level",
        "error",
    ];
    if traffic.secure {
        words.extend(["--ca", "{scratch}/origin/ca.pem", "--tls-name", "origin.example"]);
    }
    let generator = if is_http2 { "h2load" } else { "wrk" };
    Ok(Work {
        title: format!("pass on {what}, between {generator} and an nginx"),
        folder,
        expected: path,
        likeness: Likeness::Content,
        target: Target::Absent,
        ends: Ends::Answered(Traffic {
            seconds: place.amount(traffic.seconds, 1),
            ..traffic
        }),
        on_disk: false,
        ours: Program::ours(place.binaries, "proxy-sidecar", "proxy-sidecar", &words),
        peers: vec![
            peer("HAProxy", "haproxy", "haproxy -db -f", &["haproxy", "-v"]),
            peer("nginx", "nginx", "nginx -c", &["sh", "-c", "nginx -v 2>&1"]),
        ],
        goals: vec![Goal::cpu_ratio("HAProxy", haproxy)],
    })
}

fn peer(name: &str, conf: &str, run: &str, version: &[&str]) -> Program {
    let script = format!(
        "sed 's|@PORT@|{{port}}|; s|@ONE@|{{one}}|; s|@TWO@|{{two}}|; s|@SCRATCH@|{{scratch}}|g' {{src}}/{conf} >{{scratch}}/conf && \
         exec {run} {{scratch}}/conf"
    );
    Program::peer(name, &["sh", "-c", &script], version)
}
