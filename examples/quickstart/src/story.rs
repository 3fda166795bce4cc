//! The story of the README, one method a pattern.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testbed::client;
use testbed::peer::{Backend, Store};
use testbed::process::{self, Running};

use crate::tell;

/// For anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const PAGE: &str = "<h1>sample</h1>\n";

/// Everything that runs, and what was found so far.
pub(crate) struct Story {
    dir: TempDir,
    binaries: PathBuf,
    debug: PathBuf,
    app: String,
    orders: String,
    adapter: String,
    admin: [String; 3],
    backends: Vec<Backend>,
    store: Store,
    running: Vec<(&'static str, Running)>,
    verdicts: Vec<(&'static str, bool)>,
}

impl Story {
    /// A folder that stands for the pod's volumes, and the external cluster.
    pub(crate) fn begin(target: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("quickstart-")
            .tempdir()
            .expect("a temporary folder");
        for volume in ["artifact/sample", "webapps", "logs", "state"] {
            fs::create_dir_all(dir.path().join(volume)).expect("the folder is ours");
        }
        fs::write(dir.path().join("artifact/sample/index.html"), PAGE).expect("the folder is ours");
        let backends = (1..=3)
            .map(|n| Backend::start("127.0.0.1:0", &format!("orders-{n}")).expect("a free port"))
            .collect();
        tell::line("The pod's volumes are folders below:");
        tell::line(&format!("   {}", dir.path().display()));
        Self {
            dir,
            binaries: PathBuf::from(target).join("release"),
            debug: PathBuf::from(target).join("debug"),
            app: free(),
            orders: free(),
            adapter: free(),
            admin: [free(), free(), free()],
            backends,
            store: Store::start("127.0.0.1:0").expect("a free port"),
            running: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    pub(crate) fn init_container(&mut self) {
        tell::pattern(
            "init container",
            "the artifact is put into the application's volume before it starts",
        );
        let args = [self.path("artifact/sample"), self.path("webapps/")];
        tell::command("init-copy", &args);
        tell::goes_in("artifact/sample/index.html");
        let run = || process::run(&self.binary("init-copy"), &args.each_ref().map(String::as_str));
        let first = run();
        let copied = fs::read_to_string(self.path("webapps/sample/index.html")).unwrap_or_default();
        tell::comes_out(&format!(
            "webapps/sample/index.html, {} bytes, exit code {:?}",
            copied.len(),
            first.status.code()
        ));
        let second = run();
        let unchanged = String::from_utf8_lossy(&second.stderr).contains("nothing to do");
        tell::comes_out(if unchanged {
            "run again: nothing to do, proven by the receipt"
        } else {
            "run again: copied again"
        });
        self.verdicts.push((
            "init container",
            first.status.success() && second.status.success() && copied == PAGE && unchanged,
        ));
    }

    /// The application and the three sidecars.
    pub(crate) fn start(&mut self) {
        let app = [
            self.app.clone(),
            self.path("webapps"),
            self.path("logs/access.log"),
            self.orders.clone(),
        ];
        let binary = self.debug.join("example-app").display().to_string();
        self.running.push((
            "example-app",
            Running::start(&binary, &app.each_ref().map(String::as_str)),
        ));

        let to: Vec<String> = self
            .backends
            .iter()
            .map(|backend| format!("http://{}", backend.address()))
            .collect();
        let to = to.join(",");
        let [log, proxy, adapter] = self.admin.clone();
        let sink = format!("elasticsearch+http://{}/app", self.store.address());
        self.sidecar_process(
            "log-sidecar",
            &[
                "--include",
                &self.path("logs/*.log"),
                "--to",
                &sink,
                "--state",
                &self.path("state"),
                "--admin",
                &log,
            ],
        );
        self.sidecar_process(
            "proxy-sidecar",
            &["--listen", &self.orders.clone(), "--to", &to, "--admin", &proxy],
        );
        let (metrics, health) = (
            format!("http://{}/metrics", self.app),
            format!("http://{}/health", self.app),
        );
        let listen = self.adapter.clone();
        self.sidecar_process(
            "adapter-sidecar",
            &[
                "--listen",
                &listen,
                "--health-from",
                &metrics,
                "--metrics-from",
                &health,
                "--admin",
                &adapter,
            ],
        );
        for admin in [&log, &proxy, &adapter] {
            wait(|| client::get(admin, "/readyz").is_ok_and(|response| response.status == 200));
        }
    }

    pub(crate) fn ambassador(&mut self, stopped: &AtomicBool) {
        tell::pattern(
            "ambassador",
            "the application calls one address on localhost; the proxy knows the cluster",
        );
        self.command_of("proxy-sidecar");
        let (mut answers, mut failed) = (BTreeSet::new(), 0);
        let mut call = |count: usize| {
            for _ in 0..count {
                match client::get(&self.app, "/orders") {
                    Ok(response) if response.status == 200 => drop(answers.insert(response.text())),
                    _ => failed += 1,
                }
            }
        };
        call(60);
        tell::goes_in("60 calls of the application to http://localhost, answered by three members");
        let gone = self.backends.remove(1);
        tell::goes_in(&format!(
            "one of the three, {}, is killed; 60 calls more",
            gone.address()
        ));
        drop(gone);
        call(60);
        for answer in &answers {
            tell::comes_out(answer.trim_end());
        }
        tell::comes_out(&format!("{failed} of 120 calls failed"));
        self.verdicts.push((
            "ambassador",
            failed == 0 && answers.len() == 3 && !stopped.load(Ordering::Relaxed),
        ));
    }

    pub(crate) fn sidecar(&mut self) {
        tell::pattern("sidecar", "the application writes a log file; the sidecar ships it");
        self.command_of("log-sidecar");
        for number in 0..200 {
            drop(client::get(&self.app, &format!("/sample/?n={number}")));
        }
        let written = fs::read_to_string(self.path("logs/access.log")).unwrap_or_default();
        let written: Vec<&str> = written.lines().collect();
        tell::goes_in(&format!(
            "{} lines in logs/access.log, the last: {}",
            written.len(),
            written.last().unwrap_or(&"")
        ));
        wait(|| self.store.documents("app").len() >= written.len());
        let mut shipped = self.store.messages("app");
        let last = self
            .store
            .documents("app")
            .pop()
            .map_or_else(String::new, |d| format!("{} {}", d.id, d.source));
        tell::comes_out(&format!("{} documents in the store, the last: {last}", shipped.len()));
        let mut expected: Vec<String> = written.iter().map(|line| (*line).to_owned()).collect();
        shipped.sort();
        expected.sort();
        let page = client::get(&self.app, "/sample/").is_ok_and(|response| response.text() == PAGE);
        self.verdicts.push(("sidecar", shipped == expected && page));
    }

    pub(crate) fn adapter(&mut self) {
        tell::pattern(
            "adapter",
            "monitoring asks /health and /metrics; the application has them the other way round",
        );
        self.command_of("adapter-sidecar");
        tell::goes_in(&format!(
            "GET http://{}/health, answered by the application's /metrics",
            self.adapter
        ));
        let passed = self.show("/health", "demo_requests_total ");
        tell::goes_in(&format!(
            "GET http://{}/metrics, answered by the application's /health",
            self.adapter
        ));
        let health = client::get(&self.app, "/health").map_or_else(|e| e.to_string(), |response| response.text());
        tell::goes_in(&format!("the application's /health: {health}"));
        let translated = self.show("/metrics", "app_health_");
        self.verdicts.push(("adapter", passed && translated));
    }

    fn show(&self, path: &str, wanted: &str) -> bool {
        match client::get(&self.adapter, path) {
            Ok(response) => {
                let lines: Vec<String> = response
                    .text()
                    .lines()
                    .filter(|line| line.starts_with(wanted) && !line.ends_with(" 0"))
                    .map(str::to_owned)
                    .collect();
                lines.iter().for_each(|line| tell::comes_out(line));
                response.status == 200 && !lines.is_empty()
            }
            Err(error) => {
                tell::comes_out(&error.to_string());
                false
            }
        }
    }

    pub(crate) fn addresses(&self) {
        tell::line("\nEverything stays up until Ctrl-C. To try:");
        for (what, url) in [
            ("the application", format!("http://{}/sample/", self.app)),
            ("its orders, through the proxy", format!("http://{}/orders", self.app)),
            ("the proxy itself", format!("http://{}/", self.orders)),
            (
                "the stored log records",
                format!("http://{}/app/_docs", self.store.address()),
            ),
            ("the adapter", format!("http://{}/metrics", self.adapter)),
            ("log-sidecar's own metrics", format!("http://{}/metrics", self.admin[0])),
            (
                "proxy-sidecar's own metrics",
                format!("http://{}/metrics", self.admin[1]),
            ),
        ] {
            tell::line(&format!("   {what}: {url}"));
        }
    }

    /// Stops everything; true when every pattern was seen to work and every sidecar ended cleanly.
    pub(crate) fn end(mut self) -> bool {
        for (_, running) in &mut self.running {
            if !running.has_ended() {
                running.terminate();
            }
        }
        tell::line("");
        for (name, mut running) in self.running.drain(..) {
            let status = running.exit();
            // The demonstration application has no signal handler; the signal ends it.
            if name != "example-app" && !status.success() {
                tell::line(&format!("{name} ended with {status}:\n{}", running.stderr().join("\n")));
                self.verdicts.push((name, false));
            }
        }
        for (name, worked) in &self.verdicts {
            tell::line(&format!("{name}: {}", if *worked { "ok" } else { "FAILED" }));
        }
        self.verdicts.iter().all(|(_, worked)| *worked)
    }

    fn sidecar_process(&mut self, name: &'static str, args: &[&str]) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let running = Running::start(&self.binary(name), &args.iter().map(String::as_str).collect::<Vec<_>>());
        self.running.push((name, running));
    }

    fn command_of(&self, name: &str) {
        let found = self.running.iter().find(|(running, _)| *running == name);
        let args = found.map(|(_, running)| running.args().to_vec()).unwrap_or_default();
        tell::command(name, &args);
    }

    fn path(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        path.to_str().expect("a temporary folder has a plain name").to_owned()
    }

    fn binary(&self, name: &str) -> String {
        self.binaries.join(name).display().to_string()
    }
}

/// A free address on loopback.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// Waits for `ready`, but not for ever: what follows tells what is missing.
fn wait(ready: impl Fn() -> bool) {
    let started = Instant::now();
    while !ready() && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
}
