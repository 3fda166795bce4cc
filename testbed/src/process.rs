//! One of our binaries as a process: its output line by line, its signals, its end.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Variables that change what our binaries do must not leak into tests.
const PREFIXES: [&str; 4] = ["INIT_COPY_", "LOG_SIDECAR_", "PROXY_SIDECAR_", "ADAPTER_SIDECAR_"];

/// A command for `binary` without the settings of the environment that runs the tests.
pub fn command(binary: &str) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end.
pub fn run(binary: &str, args: &[&str]) -> Output {
    command(binary).args(args).output().expect("the binary starts")
}

/// A command for a copy of `binary` in `dir`, run as a user without privileges also when the tests run as root.
///
/// The copy lies where anybody may read it, which the build directory need not be.
pub fn unprivileged(binary: &str, dir: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("the directory is ours");
    let dir_text = dir.to_str().expect("a temporary directory has a plain name");
    // Another process writes the copy: a file descriptor open for writing here would be inherited by whatever another test starts.
    let installed = run(binary, &["install-self", dir_text]);
    assert!(installed.status.success(), "{:?}", code_and_stderr(&installed));
    let name = Path::new(binary).file_name().expect("a binary has a name");
    let mut command = command(dir.join(name).to_str().expect("a plain name"));
    if fs::metadata("/proc/self").expect("proc is mounted").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Exit code and standard error, for assertions that show both.
pub fn code_and_stderr(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    args: Vec<String>,
    stdout: Lines,
    stderr: Lines,
    collectors: Vec<JoinHandle<()>>,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Running {
    /// Starts `binary` with `args`.
    pub fn start(binary: &str, args: &[&str]) -> Self {
        Self::spawn(command(binary).args(args))
    }

    /// Starts `command`, whose output is collected.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (stdout, out) = collect(child.stdout.take().expect("piped"));
        let (stderr, err) = collect(child.stderr.take().expect("piped"));
        let args = command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        Self {
            child,
            args,
            stdout,
            stderr,
            collectors: vec![out, err],
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it was started with.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line of standard error that holds `text`, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        let found = || self.stderr().into_iter().find(|line| line.contains(text));
        wait::until(&format!("{text:?} in the log; so far: {:#?}", self.stderr()), found)
    }

    /// The address after `"address":"` in the log line that holds `text`: where the process listens on a port of its own choice.
    #[track_caller]
    pub fn address(&self, text: &str) -> String {
        let line = self.wait_for_log(text);
        let (_, rest) = line.split_once("\"address\":\"").expect("the line has an address");
        rest.split('"')
            .next()
            .unwrap_or_default()
            .replace("0.0.0.0", "127.0.0.1")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("the process ends");
    }

    /// Waits for the end, and for the last line of output; panics with the log when it does not come.
    #[track_caller]
    pub fn exit(&mut self) -> ExitStatus {
        let stderr = Arc::clone(&self.stderr);
        let shown = || stderr.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        let status = wait::until(&format!("the process to end; log:\n{}", shown()), || {
            self.child.try_wait().expect("the process is ours")
        });
        for collector in self.collectors.drain(..) {
            collector.join().expect("collectors do not panic");
        }
        status
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process is ours").is_some()
    }

    /// Resident memory, bytes.
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process is there");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.child.kill().expect("the process is ours");
            self.child.wait().expect("the process ends");
        }
        if thread::panicking() {
            let shown = |lines: Vec<String>| lines.join("\n");
            eprint_lines(self.id(), &shown(self.stdout()), &shown(self.stderr()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "shows why a test failed")]
fn eprint_lines(id: u32, stdout: &str, stderr: &str) {
    eprintln!("process {id}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---");
}

fn collect(stream: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    let collector = thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    (lines, collector)
}
