//! A sink for shippers: `_bulk` of Elasticsearch that takes everything at once, and knows which lines it got.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::http::{Reply, Request, Server};

/// So long is waited for the lines.
const PATIENCE: Duration = Duration::from_mins(10);
const TICK: Duration = Duration::from_millis(1);

/// Lines, whatever their order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    count: u64,
    sum: u64,
}

impl Lines {
    pub(crate) fn add(&mut self, line: &str) {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    pub(crate) fn count(self) -> u64 {
        self.count
    }

    /// To be compared with those of another.
    pub(crate) fn write(self, path: &Path) -> io::Result<()> {
        fs::write(path, format!("{} lines, sum {:016x}\n", self.count, self.sum))
    }
}

/// The store, as long as it lives.
#[derive(Debug)]
pub(crate) struct Store {
    server: Server,
    lines: Arc<Mutex<Lines>>,
    arrivals: Arc<Mutex<Vec<(u64, Instant)>>>,
}

impl Store {
    pub(crate) fn start() -> io::Result<Self> {
        let lines = Arc::new(Mutex::new(Lines::default()));
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let (shared, noted) = (Arc::clone(&lines), Arc::clone(&arrivals));
        let server = Server::start("127.0.0.1:0", move |request| {
            let at = Instant::now();
            let (count, reply) = answer(request, &shared);
            noted.lock().unwrap_or_else(PoisonError::into_inner).push((count, at));
            reply
        })?;
        Ok(Self {
            server,
            lines,
            arrivals,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// Returns when `count` lines are there, when none can come any more, or when there is no more patience.
    pub(crate) fn wait_for(&self, count: u64, mut is_over: impl FnMut() -> bool) -> Lines {
        let started = Instant::now();
        while lock(&self.lines).count < count && !is_over() && started.elapsed() < PATIENCE {
            std::thread::sleep(TICK);
        }
        self.lines()
    }

    /// How many lines came with each request, and when that was there.
    pub(crate) fn arrivals(&self) -> Vec<(u64, Instant)> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has come so far.
    pub(crate) fn lines(&self) -> Lines {
        *lock(&self.lines)
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(request: &Request, all: &Mutex<Lines>) -> (u64, Reply) {
    if !request.target.contains("_bulk") {
        return (0, Reply::new(200, "application/json", "{}"));
    }
    let mut lines = Lines::default();
    let body = request
        .body
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    for document in body.skip(1).step_by(2) {
        let document: Value = serde_json::from_slice(document).unwrap_or_default();
        // Under the names that shippers have for it.
        let line = ["message", "log"].iter().find_map(|name| document[name].as_str());
        lines.add(line.unwrap_or_default());
    }
    let items = vec![r#"{"create":{"status":201}}"#; usize::try_from(lines.count).unwrap_or_default()].join(",");
    let mut all = lock(all);
    all.count += lines.count;
    all.sum = all.sum.wrapping_add(lines.sum);
    let body = format!("{{\"errors\":false,\"items\":[{items}]}}");
    (lines.count, Reply::new(200, "application/json", body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known_whatever_their_order_and_name() {
        let all = Mutex::new(Lines::default());
        let send = |body: &str| {
            let request = Request {
                method: "POST".into(),
                target: "/_bulk".into(),
                headers: Vec::new(),
                body: body.into(),
            };
            let Reply::Full { body, .. } = answer(&request, &all).1 else {
                panic!()
            };
            serde_json::from_slice::<Value>(&body).unwrap()["items"]
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(
            send("{\"create\":{}}\n{\"message\":\"b\"}\n{\"create\":{}}\n{\"log\":\"a\"}\n"),
            2
        );
        let mut expected = Lines::default();
        ["a", "b"].iter().for_each(|line| expected.add(line));
        assert_eq!(*lock(&all), expected);
        assert_eq!(send("{\"create\":{}}\n{\"message\":\"b\"}\n"), 1);
        assert_ne!(*lock(&all), expected);
    }
}
