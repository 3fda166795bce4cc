//! Where the receipt of a destination is kept.

use std::fs::File;
use std::path::{Path, PathBuf};

use pod_contract::config::{Setting, Shape};
use rustix::fs::{Mode, OFlags, openat};

use crate::dest::beneath::Root;
use crate::plan::names::RECEIPT;

/// Where, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In the destination itself, where every container that has the volume finds it.
    Inside,
    /// Where nobody serves it, such as on a volume of init-copy's own.
    At(PathBuf),
    /// Nowhere: every run copies again, and nothing can be verified or pruned.
    Off,
}

impl Setting for Keeping {
    const FORM: &'static str = "the path of a file, or off";
    const SHAPE: Shape = Shape::OrOff(&Shape::Text);

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" | "false" => Ok(Self::Off),
            _ if text.ends_with('/') => Err("it is a directory".into()),
            _ => PathBuf::parse(text).map(Self::At),
        }
    }
}

impl Keeping {
    /// The path of the receipt of the directory `dir`; `None` when there is to be none.
    pub(crate) fn path(&self, dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Inside => Some(dir.join(RECEIPT)),
            Self::At(path) => Some(path.clone()),
            Self::Off => None,
        }
    }

    /// The receipt of `root` for reading; `None` when there is none.
    pub(super) fn open(&self, root: &Root) -> std::io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = match self {
            Self::Inside => openat(root, RECEIPT, flags | OFlags::NOFOLLOW, Mode::empty()),
            Self::At(path) => openat(rustix::fs::CWD, path, flags, Mode::empty()),
            Self::Off => return Ok(None),
        };
        match opened {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
