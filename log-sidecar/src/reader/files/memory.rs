//! What is remembered of files that are not open.

use std::collections::HashMap;
use std::path::Path;

use crate::checkpoint::{Copied, LeftOut, Saved};
use crate::identity::{Inode, Lasting};

/// A file that is not open.
#[derive(Debug)]
pub(super) enum Known {
    /// It was read up to here.
    Read(Saved),
    /// A copy of what was read.
    Copy(Copied),
    /// As long as it is like this, there is nothing in it to read.
    LeftOut(LeftOut),
}

impl Known {
    fn inode(&self) -> &Inode {
        match self {
            Self::Read(saved) => &saved.inode,
            Self::Copy(copy) => &copy.inode,
            Self::LeftOut(file) => &file.inode,
        }
    }

    /// Where it was when it was noted.
    pub(super) fn path(&self) -> &Path {
        Path::new(match self {
            Self::Read(saved) => &saved.path,
            Self::Copy(copy) => &copy.path,
            Self::LeftOut(file) => &file.path,
        })
    }
}

/// Each file in one state. One that is in none, and is not open, is new: when it came into being, or under which name, does not matter.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<Lasting, Known>);

impl Memory {
    pub(super) fn new(files: Vec<Saved>, copies: Vec<Copied>, left_out: Vec<LeftOut>) -> Self {
        let mut memory = Self::default();
        files.into_iter().map(Known::Read).for_each(|known| memory.note(known));
        copies.into_iter().map(Known::Copy).for_each(|known| memory.note(known));
        left_out
            .into_iter()
            .map(Known::LeftOut)
            .for_each(|known| memory.note(known));
        memory
    }

    pub(super) fn note(&mut self, known: Known) {
        self.0.insert(known.inode().lasting(), known);
    }

    pub(super) fn note_left_out(&mut self, inode: Inode, path: &Path, size: u64, modified: i64) {
        self.note(Known::LeftOut(LeftOut {
            inode,
            path: path.to_string_lossy().into_owned(),
            size,
            modified,
        }));
    }

    pub(super) fn of(&self, inode: &Inode) -> Option<&Known> {
        self.0.get(&inode.lasting())
    }

    /// How far it was read.
    pub(super) fn read(&self, inode: &Inode) -> Option<&Saved> {
        match self.of(inode) {
            Some(Known::Read(saved)) => Some(saved),
            _ => None,
        }
    }

    pub(super) fn forget(&mut self, inode: &Inode) {
        self.0.remove(&inode.lasting());
    }

    pub(super) fn all_read(&self) -> impl Iterator<Item = &Saved> {
        self.0.values().filter_map(|known| match known {
            Known::Read(saved) => Some(saved),
            _ => None,
        })
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = &Copied> {
        self.0.values().filter_map(|known| match known {
            Known::Copy(copy) => Some(copy),
            _ => None,
        })
    }

    pub(super) fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        self.0.values().filter_map(|known| match known {
            Known::LeftOut(file) => Some(file),
            _ => None,
        })
    }

    /// Forgets files that are nowhere; returns how far those were read that had been.
    pub(super) fn forget_gone(&mut self, exists: impl Fn(&Lasting, &Known) -> bool) -> Vec<Saved> {
        let gone = self.0.extract_if(|key, known| !exists(key, known));
        let read = gone.filter_map(|(_, known)| match known {
            Known::Read(saved) => Some(saved),
            _ => None,
        });
        read.collect()
    }
}
