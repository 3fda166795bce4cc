//! The tracer: starts the process, follows its threads from stop to stop, applies the fault.
//!
//! All requests come from the thread that attached, as ptrace(2) wants it. The process is in a group of its own and only that group
//! is waited for, so that children of other tests in this process are left alone. If this thread ends early, the kernel kills the process.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use nix::libc::{PTRACE_EVENT_EXEC, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use super::{Call, Calls, Errno, Fault, Traced, arguments};
use crate::wait::PATIENCE;

#[track_caller]
pub(super) fn run(command: &mut Command, calls: &Calls, fault: Option<(usize, Fault)>) -> Traced {
    calls.check();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("/bin/sh starts");
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    attach(&mut child);
    let (done, watchdog) = limit(&child);
    let mut tracer = Tracer {
        process: pid(&child),
        calls,
        fault,
        started: false,
        inside: HashMap::new(),
        counted: Vec::new(),
        hit: None,
        killed: false,
    };
    let status = tracer.follow();
    drop(done);
    let late = watchdog.join().expect("the watchdog does not panic");
    let output = Output {
        status,
        stdout: stdout.join().expect("collectors do not panic"),
        stderr: stderr.join().expect("collectors do not panic"),
    };
    assert!(!late, "the process did not end in {PATIENCE:?}: {command:?} {output:?}");
    assert!(tracer.started, "the process was not started: {command:?} {output:?}");
    Traced {
        output,
        calls: tracer.counted,
        hit: tracer.hit,
    }
}

/// Waits for the shell to stop itself, and takes it over.
#[track_caller]
fn attach(child: &mut Child) {
    let process = pid(child);
    let stopped = waitpid(process, Some(WaitPidFlag::WUNTRACED));
    assert!(
        matches!(stopped, Ok(WaitStatus::Stopped(..))),
        "the shell did not stop: {stopped:?}"
    );
    let options = Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_EXITKILL;
    if let Err(error) = ptrace::seize(process, options) {
        child.kill().expect("the process is ours");
        child.wait().expect("the process ends");
        panic!("a child may not be traced here: {error}; see the documentation of testbed::trace");
    }
    kill(process, Signal::SIGCONT).expect("the process is there");
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("ids are positive i32"))
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// Kills the process when nobody let go of the sender in time; the thread tells whether it did.
fn limit(child: &Child) -> (SyncSender<()>, JoinHandle<bool>) {
    // A handle instead of the number, which may belong to another process by then.
    let handle =
        pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty()).expect("the process is there");
    let (done, ended) = sync_channel(0);
    let watchdog = thread::spawn(move || {
        let late = ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        late && pidfd_send_signal(handle, rustix::process::Signal::KILL).is_ok()
    });
    (done, watchdog)
}

struct Tracer<'a> {
    process: Pid,
    calls: &'a Calls,
    fault: Option<(usize, Fault)>,
    /// Has the shell become the binary?
    started: bool,
    /// Threads between entry and exit of a call, with the error it is to fail with: the two stops look alike.
    inside: HashMap<Pid, Option<Errno>>,
    counted: Vec<Call>,
    hit: Option<usize>,
    killed: bool,
}

impl Tracer<'_> {
    fn follow(&mut self) -> ExitStatus {
        let group = Pid::from_raw(-self.process.as_raw());
        loop {
            let stopped = match waitpid(group, Some(WaitPidFlag::__WALL)) {
                Err(Errno::EINTR) => continue,
                status => status.expect("the process is ours"),
            };
            let handled = match stopped {
                WaitStatus::Exited(thread, code) if thread == self.process => return ExitStatus::from_raw(code << 8),
                WaitStatus::Signaled(thread, signal, _) if thread == self.process => {
                    return ExitStatus::from_raw(signal as i32);
                }
                WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => {
                    self.inside.remove(&thread);
                    Ok(())
                }
                WaitStatus::PtraceEvent(thread, _, PTRACE_EVENT_EXEC) => {
                    self.started = true;
                    // Other threads are gone, and this one is in the middle of execve.
                    self.inside = HashMap::from([(thread, None)]);
                    self.resume(thread, None)
                }
                WaitStatus::PtraceSyscall(thread) => self.at_call(thread).and_then(|()| self.resume(thread, None)),
                WaitStatus::Stopped(thread, signal) => self.resume(thread, Some(signal)),
                WaitStatus::PtraceEvent(thread, ..) => self.resume(thread, None),
                status => panic!("not asked for: {status:?}"),
            };
            match handled {
                // A thread may be killed at any time, its end is reported next.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => panic!("cannot handle {stopped:?}: {error}"),
            }
        }
    }

    fn resume(&self, thread: Pid, signal: Option<Signal>) -> nix::Result<()> {
        if self.started {
            ptrace::syscall(thread, signal)
        } else {
            ptrace::cont(thread, signal)
        }
    }

    /// At the entry or the exit of a system call.
    fn at_call(&mut self, thread: Pid) -> nix::Result<()> {
        if let Some(error) = self.inside.remove(&thread) {
            return match error {
                Some(error) => fail(thread, error),
                None => Ok(()),
            };
        }
        self.inside.insert(thread, None);
        let registers = ptrace::getregs(thread)?;
        let Some(call) = arguments::call(self.calls, thread, &registers).filter(|_| !self.killed) else {
            return Ok(());
        };
        self.counted.push(call);
        let reached = self.counted.len();
        match self.fault {
            Some((n, Fault::Kill)) if reached == n => {
                self.hit = Some(reached - 1);
                self.killed = true;
                skip(thread, registers)?;
                kill(self.process, Signal::SIGKILL)
            }
            Some((n, Fault::Errno(error))) if reached == n => self.refuse(thread, registers, error),
            Some((n, Fault::ErrnoFrom(error))) if reached >= n => self.refuse(thread, registers, error),
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, thread: Pid, registers: user_regs_struct, error: Errno) -> nix::Result<()> {
        self.hit.get_or_insert(self.counted.len() - 1);
        self.inside.insert(thread, Some(error));
        skip(thread, registers)
    }
}

/// The call at whose entry the thread stands is not carried out: there is none of this number.
fn skip(thread: Pid, mut registers: user_regs_struct) -> nix::Result<()> {
    registers.orig_rax = u64::MAX;
    ptrace::setregs(thread, registers)
}

/// The call at whose exit the thread stands has failed.
fn fail(thread: Pid, error: Errno) -> nix::Result<()> {
    let mut registers = ptrace::getregs(thread)?;
    registers.rax = (-i64::from(error as i32)).cast_unsigned();
    ptrace::setregs(thread, registers)
}
