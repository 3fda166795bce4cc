//! How something looks without being read.

use rustix::fs::FileType;

use crate::content::fingerprint::Fingerprint;

/// How something looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) kind: FileType,
    pub(crate) fingerprint: Fingerprint,
}

impl Look {
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            fingerprint: Fingerprint::of(stat),
        }
    }

    pub(crate) fn is_dir(self) -> bool {
        self.kind == FileType::Directory
    }
}
