//! What a thread at the entry of a system call is about to do, read from its registers and its memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use nix::libc::{AT_FDCWD, O_CREAT, O_DIRECTORY, O_TMPFILE, O_TRUNC, user_regs_struct};
use nix::unistd::Pid;

use super::calls::{Kind, Object, When};
use super::{Call, Calls};

/// Standard output and standard error, also where they are files.
const LOG: [i32; 2] = [1, 2];

/// `FICLONE` and `FICLONERANGE` of linux/fs.h.
const CLONING: [u64; 2] = [0x4004_9409, 0x4020_940d];

/// Both bits of `O_TMPFILE` count, the one it shares with `O_DIRECTORY` does not.
const CREATING: i32 = O_CREAT | O_TRUNC | (O_TMPFILE & !O_DIRECTORY);

/// The call that `thread` is about to make, if it counts.
pub(super) fn call(calls: &Calls, thread: Pid, registers: &user_regs_struct) -> Option<Call> {
    let kind = calls.kind(registers.orig_rax.cast_signed())?;
    let arguments = Arguments::new(thread, registers);
    if !arguments.change(kind) {
        return None;
    }
    let path = match kind.object {
        Object::Open(index) => arguments.file(index)?,
        Object::Path(index) => arguments.path(index),
        Object::At(index) => arguments.path_at(index),
    };
    Some(Call { name: kind.name, path })
}

struct Arguments {
    thread: Pid,
    values: [u64; 6],
}

impl Arguments {
    fn new(thread: Pid, registers: &user_regs_struct) -> Self {
        let r = registers;
        Self {
            thread,
            values: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
        }
    }

    /// Does the call change anything?
    fn change(&self, kind: &Kind) -> bool {
        let creating = |flags: u64| flags & u64::from(CREATING.cast_unsigned()) != 0;
        match kind.when {
            When::Always => true,
            When::Flags(index) => creating(self.values[index]),
            When::How(index) => self
                .memory::<8>(index)
                .is_ok_and(|(how, _)| creating(u64::from_ne_bytes(how))),
            When::Clones(index) => CLONING.contains(&self.values[index]),
        }
    }

    /// The name of an open file or directory that is not part of the log.
    fn file(&self, index: usize) -> Option<PathBuf> {
        let number = self.number(index);
        let opened = fs::metadata(self.link(number)).ok()?;
        let counts = !LOG.contains(&number) && (opened.is_file() || opened.is_dir());
        counts.then(|| self.opened(number))
    }

    /// A descriptor is an `int`; the upper half of the register means nothing.
    fn number(&self, index: usize) -> i32 {
        self.values[index] as i32
    }

    fn link(&self, number: i32) -> String {
        format!("/proc/{}/fd/{number}", self.thread)
    }

    fn opened(&self, number: i32) -> PathBuf {
        fs::read_link(self.link(number)).unwrap_or_default()
    }

    /// Empty for a null pointer, and for what cannot be read: the call fails by itself.
    fn path(&self, index: usize) -> PathBuf {
        let (bytes, read) = self.memory::<4096>(index).unwrap_or(([0; 4096], 0));
        let path = bytes[..read].split(|&byte| byte == 0).next().unwrap_or_default();
        PathBuf::from(OsStr::from_bytes(path))
    }

    fn path_at(&self, index: usize) -> PathBuf {
        let (path, directory) = (self.path(index), self.number(index - 1));
        if directory == AT_FDCWD || path.is_absolute() {
            path
        } else if path.as_os_str().is_empty() {
            self.opened(directory)
        } else {
            self.opened(directory).join(path)
        }
    }

    /// What an argument points to: bytes, and how many of them there are before the end of what is mapped.
    fn memory<const N: usize>(&self, index: usize) -> io::Result<([u8; N], usize)> {
        let mut bytes = [0; N];
        let read = File::open(format!("/proc/{}/mem", self.thread))?.read_at(&mut bytes, self.values[index])?;
        Ok((bytes, read))
    }
}
