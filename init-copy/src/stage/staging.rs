//! What is being staged, under which names.

use std::path::PathBuf;

use crate::archive::Leniency;
use crate::attributes::Attributes;
use crate::content::checksum::Expected;
use crate::content::fingerprint::Fingerprint;
use crate::content::substitute::Substitute;
use crate::copy::Engine;
use crate::dest::Ground;
use crate::dest::beneath::{Root, remove_tree};
use crate::error::{At as _, Error};
use crate::plan::{Content, Entry, Links, Plan};
use crate::receipt::Proof;
use crate::signals::Staged;

/// What is to be staged, and how.
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) attributes: &'a Attributes,
    pub(crate) substitute: &'a Substitute,
    pub(crate) engine: Engine<'a>,
    /// The digest that the one file of a local source has to have.
    pub(crate) expected: Option<&'a Expected>,
    pub(crate) proof: Proof,
    pub(crate) durable: bool,
    pub(crate) links: Links,
    pub(crate) leniency: Leniency,
    /// The trees among the sources, held open.
    pub(crate) roots: Vec<Option<Root>>,
}

impl Job<'_> {
    /// Opens the sources that are trees.
    pub(crate) fn open_roots(plan: &Plan) -> Result<Vec<Option<Root>>, Error> {
        let open = |source: &crate::plan::Opened| match &source.content {
            Content::Local(base) if base.is_dir() => Root::open(base).map(Some),
            _ => Ok(None),
        };
        plan.sources.iter().map(open).collect()
    }
}

/// What one rename publishes.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Below the root; empty for the root itself.
    pub(crate) target: PathBuf,
    /// Its staged name; `None` once it is published.
    pub(crate) temp: Option<PathBuf>,
    /// Its entries: a range of the staged ones.
    pub(crate) entries: std::ops::Range<usize>,
}

/// Staged content; what is not published is removed on drop.
pub(crate) struct Staging<'a> {
    /// Where the staged names are.
    pub(crate) base: &'a Root,
    pub(crate) units: Vec<Unit>,
    /// Indices into the plan, in its order.
    pub(crate) todo: &'a [usize],
    /// For each of `todo`.
    pub(crate) done: Vec<Option<Done>>,
    /// Dropped last: what is staged has gone by then.
    pub(super) _staged: Staged,
}

/// How an entry looks once it is staged.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) sha256: Option<String>,
}

impl Staging<'_> {
    /// Bytes copied.
    pub(crate) fn bytes(&self, plan: &Plan) -> u64 {
        self.todo.iter().map(|&index| plan.entries[index].size()).sum()
    }

    /// The final path of an entry, for people.
    pub(crate) fn shown(&self, entry: &Entry) -> PathBuf {
        self.base.path().join(&entry.target)
    }

    /// The staged path of the `at`-th entry.
    pub(crate) fn path(&self, plan: &Plan, at: usize) -> PathBuf {
        let unit = &self.units[self.units.partition_point(|unit| unit.entries.end <= at)];
        let below = plan.entries[self.todo[at]].target.strip_prefix(&unit.target);
        let temp = unit.temp.clone().unwrap_or_default();
        match below {
            Ok(below) if !below.as_os_str().is_empty() => temp.join(below),
            _ => temp,
        }
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        let mut cursor = self.base.cursor();
        for unit in &self.units {
            if let Some(temp) = &unit.temp {
                // What cannot be removed now is swept by the next run.
                let removed = cursor.parent(temp).and_then(|parent| {
                    let name = temp.file_name().unwrap_or_default();
                    remove_tree(parent, name).at("remove", temp)
                });
                if let Err(error) = removed {
                    tracing::debug!(%error, "cannot remove what was staged");
                }
            }
        }
    }
}

/// Groups the entries: all below a directory that is new, and everything else by itself.
pub(super) fn units(plan: &Plan, todo: &[usize], run: &str, ground: Option<&Ground>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let Some(ground) = ground else {
        units.push(Unit {
            target: PathBuf::new(),
            temp: Some(PathBuf::from(format!("{run}-0"))),
            entries: 0..todo.len(),
        });
        return units;
    };
    for (at, &index) in todo.iter().enumerate() {
        let entry = &plan.entries[index];
        if let Some(unit) = units.last_mut()
            && entry.target.starts_with(&unit.target)
        {
            unit.entries.end = at + 1;
            continue;
        }
        units.push(Unit {
            target: entry.target.to_path_buf(),
            temp: Some(ground.mount_of(&entry.target).join(format!("{run}-{at}"))),
            entries: at..at + 1,
        });
    }
    units
}
