//! A small application that knows nothing of sidecars: it serves what lies in its webapps folder, writes an access log, tells its health
//! and its metrics, and calls its orders system at one address.
//!
//! `example-app LISTEN WEBAPPS LOG ORDERS`, such as `example-app 127.0.0.1:8080 /webapps /logs/access.log 127.0.0.1:9200`

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use serde_json::json;
use testbed::client;
use testbed::http::{Reply, Request, Server};

struct App {
    webapps: PathBuf,
    orders: String,
    log: Mutex<File>,
    started: Instant,
    requests: AtomicU64,
    orders_up: AtomicBool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match start(&args) {
        // The server has threads of its own.
        Ok(_server) => loop {
            std::thread::park();
        },
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a demonstration")]
fn complain(error: &io::Error) {
    eprintln!("example-app: {error}");
}

fn start(args: &[String]) -> io::Result<Server> {
    let [listen, webapps, log, orders] = args else {
        return Err(io::Error::other("usage: example-app LISTEN WEBAPPS LOG ORDERS"));
    };
    let app = App {
        webapps: webapps.into(),
        orders: orders.clone(),
        log: Mutex::new(OpenOptions::new().create(true).append(true).open(log)?),
        started: Instant::now(),
        requests: AtomicU64::new(0),
        orders_up: AtomicBool::new(true),
    };
    Server::start(listen, move |request| app.answer(request))
}

impl App {
    fn answer(&self, request: &Request) -> Reply {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.target.split('?').next().unwrap_or_default();
        let (status, kind, body) = match path {
            "/health" => self.health(),
            "/metrics" => (200, "text/plain; version=0.0.4; charset=utf-8", self.metrics()),
            "/orders" => self.orders(),
            path => self.file(path),
        };
        self.note(request, status, body.len());
        Reply::new(status, kind, body)
    }

    fn health(&self) -> (u16, &'static str, String) {
        let word = |up: bool| if up { "UP" } else { "DOWN" };
        let (orders, webapps) = (self.orders_up.load(Ordering::Relaxed), self.webapps.is_dir());
        let up = orders && webapps;
        let body = json!({ "status": word(up), "components": { "orders": { "status": word(orders) }, "webapps": { "status": word(webapps) } } });
        (if up { 200 } else { 503 }, "application/json", body.to_string())
    }

    fn metrics(&self) -> String {
        format!(
            "# HELP demo_requests_total Requests answered.\n# TYPE demo_requests_total counter\ndemo_requests_total {}\n\
             # HELP demo_uptime_seconds Time since the start.\n# TYPE demo_uptime_seconds gauge\ndemo_uptime_seconds {}\n",
            self.requests.load(Ordering::Relaxed),
            self.started.elapsed().as_secs_f64()
        )
    }

    /// Asks the orders system, which for the application is one address.
    fn orders(&self) -> (u16, &'static str, String) {
        let answer = client::get(&self.orders, "/");
        self.orders_up.store(
            answer.as_ref().is_ok_and(|response| response.status == 200),
            Ordering::Relaxed,
        );
        match answer {
            Ok(response) => (response.status, "text/plain", response.text()),
            Err(error) => (502, "text/plain", format!("orders: {error}\n")),
        }
    }

    fn file(&self, path: &str) -> (u16, &'static str, String) {
        let relative = Path::new(path.trim_start_matches('/'));
        let plain = relative
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        let file = if path.ends_with('/') {
            relative.join("index.html")
        } else {
            relative.to_owned()
        };
        match fs::read_to_string(self.webapps.join(file)) {
            Ok(body) if plain => (200, "text/html; charset=utf-8", body),
            _ => (404, "text/plain", "not found\n".into()),
        }
    }

    fn note(&self, request: &Request, status: u16, length: usize) {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let line = format!(
            "127.0.0.1 - - [{time}] \"{} {} HTTP/1.1\" {status} {length}\n",
            request.method, request.target
        );
        if let Err(error) = self
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes())
        {
            complain(&error);
        }
    }
}
