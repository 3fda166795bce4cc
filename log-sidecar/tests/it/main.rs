//! The real binary: what it ships, and that nothing is lost or doubled whatever happens to files, sink and process.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod copies;
mod encodings;
mod faults;
mod fields;
mod files;
mod flags;
mod forward;
mod history;
mod insight;
mod loki;
mod losses;
mod model;
mod multiline;
mod otlp;
mod refusals;
mod reload;
mod rollover;
mod rotating;
mod s3;
mod secure;
mod sinks;
mod stops;
mod syslog;
mod times;
mod web;
mod works;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use testbed::peer::Store;
use testbed::process::{Running, command};
use testbed::wait;

const BIN: &str = env!("CARGO_BIN_EXE_log-sidecar");

/// A log volume, a state volume, and a store.
struct Pod {
    dir: TempDir,
    store: Store,
}

impl Pod {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        Self {
            dir,
            store: Store::start("127.0.0.1:0").unwrap(),
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(name))
            .unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// Writes `packed` as `gzip -c` does of `name`.
    fn gzip(&self, name: &str, packed: &str) {
        let mut encoder = GzEncoder::new(File::create(self.log(packed)).unwrap(), Compression::fast());
        encoder.write_all(&fs::read(self.log(name)).unwrap()).unwrap();
        encoder.finish().unwrap();
    }

    /// Appends `line FROM` up to `line TO - 1`.
    fn append_lines(&self, name: &str, range: std::ops::Range<usize>) {
        self.append(name, range.map(|n| format!("line {n}\n")).collect::<String>());
    }

    /// The sidecar on this pod's volumes, shipping to its store.
    fn start(&self) -> Running {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Running {
        self.start_to(&format!("elasticsearch+http://{}/app", self.store.address()), more)
    }

    /// The sidecar on this pod's volumes.
    fn start_to(&self, to: &str, more: &[&str]) -> Running {
        Running::spawn(&mut self.command_to(to, more))
    }

    fn command_to(&self, to: &str, more: &[&str]) -> Command {
        let include = format!("{}/*.log", self.dir.path().join("logs").display());
        let mut command = command(BIN);
        command
            .args(["--include", &include, "--to", to, "--state"])
            .arg(self.dir.path().join("state"));
        command.args([
            "--admin",
            "127.0.0.1:0",
            "--flush-interval",
            "10ms",
            "--retry-max",
            "50ms",
            "--drain-quiet",
            "50ms",
            "--poll",
            "50ms",
        ]);
        command.args(more).env("HOSTNAME", "pod-1");
        command
    }

    /// Waits until the store has `count` documents.
    #[track_caller]
    fn wait_for(&self, count: usize) {
        wait::until(
            &format!("{count} documents, not {}", self.store.documents("app").len()),
            || (self.store.documents("app").len() >= count).then_some(()),
        );
    }

    /// Asserts that exactly the lines `0..count` have arrived, each once.
    #[track_caller]
    fn assert_lines(&self, count: usize) {
        let mut numbers: Vec<usize> = self
            .store
            .messages("app")
            .iter()
            .map(|m| {
                m.strip_prefix("line ")
                    .and_then(|n| n.parse().ok())
                    .unwrap_or_else(|| panic!("{m:?}"))
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }

    /// SIGTERM, and the exit code.
    #[track_caller]
    fn stop(&self, mut running: Running) {
        running.terminate();
        assert_eq!(running.exit().code(), Some(0), "{:#?}", running.stderr());
        self.assert_balanced(&running);
    }

    /// The lines of the dead-letter file.
    fn dead_letters(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.state("dead-letter.ndjson")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many whole lines it has by now.
    fn dead_letters_so_far(&self) -> usize {
        let text = fs::read(self.state("dead-letter.ndjson")).unwrap_or_default();
        text.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// `log-sidecar replay` on this pod's state and store.
    fn replay(&self, more: &[&str]) -> std::process::Output {
        let to = format!("elasticsearch+http://{}/app", self.store.address());
        let mut command = command(BIN);
        command
            .args(["replay", "--to", &to, "--retry-max", "50ms", "--state"])
            .arg(self.state(""))
            .args(more);
        command.output().unwrap()
    }

    /// read = acked + rejected, and nothing in flight, in the last line of the log.
    #[track_caller]
    fn assert_balanced(&self, running: &Running) {
        let last = running.stderr().pop().unwrap_or_default();
        assert!(
            last.contains("in flight 0") && last.contains("unread 0 bytes"),
            "{last}"
        );
    }
}
