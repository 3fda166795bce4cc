//! From staged to visible: directories first, then one rename a file, in the order of the plan.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, renameat, statat};

use crate::error::{At as _, Error};
use crate::fingerprint::Fingerprint;
use crate::plan::Entry;
use crate::receipt::Record;
use crate::stage::Staging;

impl Staging<'_> {
    /// Gives every staged entry its name and returns what to put on the receipt.
    pub(crate) fn publish(mut self) -> Result<Vec<(PathBuf, Record)>, Error> {
        let root = self.root;
        let mut touched: BTreeSet<&Path> = BTreeSet::new();
        let mut records = Vec::new();
        for (entry, temp) in &mut self.items {
            let entry: &Entry = entry;
            let shown = root.path().join(&entry.target);
            touched.insert(entry.target.parent().unwrap_or(Path::new("")));
            let Some(staged) = temp.as_deref() else {
                root.dir(&entry.target, true)?;
                continue;
            };
            let (parent, name) = root.parent(&entry.target, true)?;
            renameat(root, staged, parent.as_fd(), name).at("publish", &shown)?;
            *temp = None;
            let stat = statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).at("look at", &shown)?;
            records.push((entry.target.clone(), Record::new(entry, Fingerprint::of_stat(&stat))));
        }
        for directory in touched {
            root.dir(directory, false)?
                .sync()
                .at("sync", &root.path().join(directory))?;
        }
        Ok(records)
    }
}
