//! Which system calls change files, and where among their arguments the file is.

use super::Calls;

/// What the call is about: the index of an argument.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object {
    /// An open file.
    Open(usize),
    /// A path.
    Path(usize),
    /// A path; the argument before it is the directory it is relative to.
    At(usize),
}

/// When the call changes something: the index of an argument.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// Flags of `open`, one of which creates or truncates.
    Flags(usize),
    /// The address of a `struct open_how`, which starts with such flags.
    How(usize),
    /// A request of `ioctl` that clones a file.
    Clones(usize),
}

#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) number: i64,
    pub(super) object: Object,
    pub(super) when: When,
}

impl Calls {
    /// The call of this number, if it may count.
    pub(super) fn kind(&self, number: i64) -> Option<&'static Kind> {
        let kind = KINDS.iter().find(|kind| kind.number == number)?;
        match self {
            Self::Writing => Some(kind),
            Self::Named(names) => names.contains(&kind.name).then_some(kind),
        }
    }

    /// A misspelt name would count nothing, and its test would pass.
    pub(super) fn check(&self) {
        if let Self::Named(names) = self {
            let known = |name: &str| KINDS.iter().any(|kind| kind.name == name);
            let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
            assert!(unknown.is_empty(), "not in the list of calls: {unknown:?}");
        }
    }
}

macro_rules! kinds {
    ($($name:ident $number:ident $object:ident($argument:literal) $when:ident$(($flags:literal))?;)*) => {
        &[$(Kind {
            name: stringify!($name),
            number: nix::libc::$number,
            object: Object::$object($argument),
            when: When::$when$(($flags))?,
        }),*]
    };
}

/// Source: the manual page of each call, section 2.
const KINDS: &[Kind] = kinds! {
    write SYS_write Open(0) Always;
    pwrite64 SYS_pwrite64 Open(0) Always;
    writev SYS_writev Open(0) Always;
    pwritev SYS_pwritev Open(0) Always;
    pwritev2 SYS_pwritev2 Open(0) Always;
    copy_file_range SYS_copy_file_range Open(2) Always;
    sendfile SYS_sendfile Open(0) Always;
    splice SYS_splice Open(2) Always;
    ioctl SYS_ioctl Open(0) Clones(1);
    ftruncate SYS_ftruncate Open(0) Always;
    truncate SYS_truncate Path(0) Always;
    fallocate SYS_fallocate Open(0) Always;
    open SYS_open Path(0) Flags(1);
    creat SYS_creat Path(0) Always;
    openat SYS_openat At(1) Flags(2);
    openat2 SYS_openat2 At(1) How(2);
    mkdir SYS_mkdir Path(0) Always;
    mkdirat SYS_mkdirat At(1) Always;
    mknod SYS_mknod Path(0) Always;
    mknodat SYS_mknodat At(1) Always;
    symlink SYS_symlink Path(1) Always;
    symlinkat SYS_symlinkat At(2) Always;
    link SYS_link Path(1) Always;
    linkat SYS_linkat At(3) Always;
    rename SYS_rename Path(1) Always;
    renameat SYS_renameat At(3) Always;
    renameat2 SYS_renameat2 At(3) Always;
    unlink SYS_unlink Path(0) Always;
    unlinkat SYS_unlinkat At(1) Always;
    rmdir SYS_rmdir Path(0) Always;
    fsync SYS_fsync Open(0) Always;
    fdatasync SYS_fdatasync Open(0) Always;
    syncfs SYS_syncfs Open(0) Always;
    sync_file_range SYS_sync_file_range Open(0) Always;
    chmod SYS_chmod Path(0) Always;
    fchmod SYS_fchmod Open(0) Always;
    fchmodat SYS_fchmodat At(1) Always;
    fchmodat2 SYS_fchmodat2 At(1) Always;
    chown SYS_chown Path(0) Always;
    lchown SYS_lchown Path(0) Always;
    fchown SYS_fchown Open(0) Always;
    fchownat SYS_fchownat At(1) Always;
    utime SYS_utime Path(0) Always;
    utimes SYS_utimes Path(0) Always;
    futimesat SYS_futimesat At(1) Always;
    utimensat SYS_utimensat At(1) Always;
    setxattr SYS_setxattr Path(0) Always;
    lsetxattr SYS_lsetxattr Path(0) Always;
    fsetxattr SYS_fsetxattr Open(0) Always;
    removexattr SYS_removexattr Path(0) Always;
    lremovexattr SYS_lremovexattr Path(0) Always;
    fremovexattr SYS_fremovexattr Open(0) Always;
};
