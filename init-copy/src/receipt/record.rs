//! The receipt: what earlier runs put there, from what, and how it looked when it was done.
//!
//! A second run is skipped on this proof, never on mere existence. A change of content, and any other change to a file, moves its
//! status-change time, which no user can set: source and target are proven unchanged without reading them.
//!
//! Text, a line an entry in the order of [`order`](crate::plan::order), so that a tree of any size is read and written in passing,
//! and a few bytes each, since a second run does little else than read it:
//!
//! ```text
//! init-copy receipt 3
//! of <path> <device> <inode>                     the destination, of a receipt that is kept elsewhere
//! s <text>                                       a text that is used below by its number, counted from 0
//! f|d|o|p|q <path> <by> <from> <options> <stamp> <at> <sha256 or ->
//! w <from> <by> <options> <identity> <files>     all that this source held was there
//! end <number of entries>
//! ```
//!
//! Fields are separated by tabs; by, from, options and identity are numbers of texts; a stamp is the number of a text behind `=` or a
//! fingerprint, as `at` is: inode, size, modified, changed; changed is 0 where it says nothing, as for a file with several names. An
//! `o` follows the `f` of the same path: another step put something there before, which that one overlays. A `p` (or `q`, of a
//! directory) comes before the others of its path: it was about to get its name.

use std::path::PathBuf;
use std::sync::Arc;

use crate::content::fingerprint::Fingerprint;
use crate::plan::Stamp;

/// One entry that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Below the destination.
    pub(crate) path: PathBuf,
    /// The step that put it there: only that step prunes it.
    pub(crate) by: Arc<str>,
    pub(crate) from: Arc<str>,
    /// What was wanted beside the content.
    pub(crate) options: Arc<str>,
    pub(crate) stamp: Stamp,
    pub(crate) dir: bool,
    pub(crate) mark: Mark,
    /// How it looked at the destination.
    pub(crate) at: Fingerprint,
    pub(crate) sha256: Option<String>,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It stands there.
    Put,
    /// Another step's record of the same path, before this one, is of what stands there: this one would be, without that step.
    Overlaid,
    /// It was about to be: when a run is killed between that and its end, this is how the next one knows its own.
    Pending,
}

/// A source of which all files and links were there in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) from: Arc<str>,
    pub(crate) by: Arc<str>,
    pub(crate) options: Arc<str>,
    pub(crate) identity: Arc<str>,
    /// How many records of files and links it has.
    pub(crate) files: u64,
}

/// Which destination a receipt is of. After a restart the device may be another one, and in another container the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Of {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path || (self.device, self.inode) == (other.device, other.inode)
    }
}
