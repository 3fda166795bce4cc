//! A real process with a fault at its n-th system call of a kind: killed before it, or refused with an error such as a full disk.
//!
//! What a process leaves behind when it dies is decided between two system calls. [`count`] tells how many calls touch files,
//! [`run`] repeats the process with a fault at one of them, so that a test can go through all of them.
//!
//! Counted are the calls of the process with all its threads, from the start of the binary on. Not counted: what its children do,
//! what goes to file descriptors 1 and 2 (the log) or to pipes, sockets and the like, and writing through mapped memory or `io_uring`.
//! With several threads, which call is the n-th may differ from run to run; the number of calls need not.
//!
//! Needs Linux on `x86_64`, a `/bin/sh`, and permission to trace one's own children. That is missing under `kernel.yama.ptrace_scope=3`,
//! under a seccomp profile without `ptrace` (Docker before 19.03, or a kernel before 4.8), and where `CAP_SYS_PTRACE` is and the command
//! changes its user. Then [`run`] panics and says so. A process that is traced already (strace, a debugger) cannot be traced by its parent.

#[cfg(target_arch = "x86_64")]
mod arguments;
#[cfg(target_arch = "x86_64")]
mod calls;
#[cfg(target_arch = "x86_64")]
mod tracer;

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Output};

pub use nix::errno::Errno;

use crate::process;

#[cfg(not(target_arch = "x86_64"))]
mod tracer {
    use super::{Calls, Fault, Traced};
    use std::process::Command;

    pub(super) fn run(_: &mut Command, _: &Calls, _: Option<(usize, Fault)>) -> Traced {
        panic!("system calls are traced on x86_64 only: registers and numbers of calls differ elsewhere");
    }
}

/// Stops before the binary starts, so that it is traced from its first instruction on.
const STOPPED: &str = r#"kill -STOP $$; exec "$0" "$@""#;

/// Which calls are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Calls {
    /// Every call that changes a file, a directory or their metadata, or makes a change durable.
    Writing,
    /// Those of [`Calls::Writing`] with one of these names, such as `fsync`.
    Named(&'static [&'static str]),
}

impl Calls {
    /// Those a full disk refuses, for [`Fault::ErrnoFrom`]: removing files, to clean up, goes on to work.
    pub const GROWING: Self = Self::Named(&[
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "pwritev2",
        "copy_file_range",
        "sendfile",
        "splice",
        "ioctl",
        "fallocate",
        "open",
        "creat",
        "openat",
        "openat2",
        "mkdir",
        "mkdirat",
        "mknod",
        "mknodat",
        "symlink",
        "symlinkat",
        "link",
        "linkat",
        "rename",
        "renameat",
        "renameat2",
        "fsync",
        "fdatasync",
        "syncfs",
        "setxattr",
        "lsetxattr",
        "fsetxattr",
    ]);
}

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; the call is not carried out.
    Kill,
    /// The call is not carried out and fails with this error; later calls are left alone.
    Errno(Errno),
    /// So do all counted calls after it: a disk stays full.
    ErrnoFrom(Errno),
}

/// A counted call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Such as `openat`.
    pub name: &'static str,
    /// The file it is about, as the process named it (after the directory it is relative to, if that is an open one);
    /// of a call with two names the one that comes to be.
    pub path: PathBuf,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.path.display())
    }
}

/// How a traced process ended.
#[derive(Debug)]
pub struct Traced {
    /// Exit code or signal, standard output and standard error.
    pub output: Output,
    /// The counted calls in order; the last one is the fatal one if the process was killed.
    pub calls: Vec<Call>,
    hit: Option<usize>,
}

impl Traced {
    /// How many calls were counted.
    pub fn counted(&self) -> usize {
        self.calls.len()
    }

    /// The (first) call that met the fault, if the process came that far.
    pub fn hit(&self) -> Option<&Call> {
        self.hit.map(|index| &self.calls[index])
    }
}

/// A command for `binary` (a path, or a name to be found) that [`run`] and [`count`] accept.
///
/// Arguments, variables, directory and user are set as on any [`Command`]; standard streams are set by [`run`].
pub fn command(binary: &str) -> Command {
    let mut command = process::command("/bin/sh");
    command.args(["-c", STOPPED, binary]);
    command
}

/// Runs `command` to its end without a fault.
///
/// # Panics
///
/// As [`run`].
#[track_caller]
pub fn count(command: &mut Command, calls: &Calls) -> Traced {
    start(command, calls, None)
}

/// Runs `command` to its end, with `fault` at the `n`-th (from 1) of `calls`.
///
/// # Panics
///
/// If the command is not one of [`command`], a name in `calls` is not known, the binary cannot be started or traced,
/// or it takes longer than [`crate::wait::PATIENCE`].
#[track_caller]
pub fn run(command: &mut Command, calls: &Calls, n: usize, fault: Fault) -> Traced {
    assert!(n > 0, "calls are counted from 1");
    start(command, calls, Some((n, fault)))
}

#[track_caller]
fn start(command: &mut Command, calls: &Calls, fault: Option<(usize, Fault)>) -> Traced {
    assert!(
        command.get_args().nth(1).is_some_and(|script| script == STOPPED),
        "the command was not made by trace::command: {command:?}"
    );
    tracer::run(command, calls, fault)
}
