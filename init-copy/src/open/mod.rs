//! Sources looked into: each becomes entries of the plan, and what comes over the network lies in the destination's file system
//! by then.

mod artifact;
mod image;
mod kept;
mod local;
mod unpack;
mod web;

use std::path::{Path, PathBuf};

use crate::ask::Step;
use crate::content::checksum::Expected;
use crate::dest::beneath::Root;
use crate::error::Error;
use crate::fetch::{Authorization, Client, Object, Store};
use crate::oci::Reference;
use crate::plan::{Builder, Plan};
use crate::progress::Progress;
use crate::source::{Source, expand, has_pattern};

pub(crate) use web::expected;

/// A source whose pattern, if it had one, has been expanded.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    Path(PathBuf),
    Url(crate::fetch::WebUrl),
    S3(Object),
    Oci(Reference),
}

/// Expands the patterns of the sources.
pub(crate) fn name(sources: &[Source]) -> Result<Vec<Named>, Error> {
    let mut named = Vec::new();
    for source in sources {
        match source {
            Source::Path(path) if has_pattern(path) => named.extend(expand(path)?.into_iter().map(Named::Path)),
            Source::Path(path) => named.push(Named::Path(path.clone())),
            Source::Url(url) => named.push(Named::Url(url.clone())),
            Source::S3(object) => named.push(Named::S3(object.clone())),
            Source::Oci(reference) => named.push(Named::Oci(reference.clone())),
        }
    }
    Ok(named)
}

/// What is needed to look into sources.
pub(crate) struct Opening<'a> {
    pub(crate) step: &'a Step,
    pub(crate) client: &'a Client,
    pub(crate) progress: &'a Progress,
    /// Whose the downloads are that an interrupted run left.
    pub(crate) owner: &'a str,
    /// What is in place already; `None` when there is no destination yet.
    pub(crate) current: Option<&'a Root>,
    /// Sources are looked into even if all of them is in place.
    pub(crate) anew: bool,
    /// Where downloads go; `None` when nothing may be written.
    pub(crate) base: Option<&'a Root>,
    /// The name of the one file, when DEST names a file.
    pub(crate) rename: Option<&'a Path>,
    /// A single directory becomes DEST itself, as `cp` has it.
    pub(crate) contents: bool,
    /// Set apart from others, so that a change of what is wanted makes entries unproven.
    pub(crate) options: &'a str,
    pub(crate) expected: Option<&'a Expected>,
}

impl Opening<'_> {
    /// The plan of all sources.
    pub(crate) fn plan(&self, named: &[Named]) -> Result<Plan, Error> {
        let mut builder = Builder::new(self.step.max_entries as usize);
        let mut store: Option<Store> = None;
        for (at, source) in named.iter().enumerate() {
            match source {
                Named::Path(path) => self.local(path, &mut builder)?,
                Named::Url(url) => {
                    let own = self.client.credentials().own()?;
                    self.web(at, url, own.as_deref().map(Authorization::Header), &mut builder)?;
                }
                Named::S3(object) => {
                    let store = match &mut store {
                        Some(store) => store,
                        none => none.insert(Store::new(self.step.buckets.clone())?),
                    };
                    let authorization = Some(Authorization::Signed(store));
                    self.web(at, &store.url(object)?, authorization, &mut builder)?;
                }
                Named::Oci(reference) => self.artifact(reference, &mut builder)?,
            }
        }
        builder.finish()
    }
}
