//! `plan`: what a run would do, what it takes, and whether it fits.

use std::path::Path;

use pod_contract::start::exit::Failure;
use pod_contract::units::Bytes;
use rustix::fs::statvfs;

use super::step::Step;
use crate::dest::beneath::Root;
use crate::dest::is_mount_point;
use crate::dest::{Target, refuse_into_itself};
use crate::error::{At as _, Error};
use crate::open::{self, Opening};
use crate::plan::{Content, Kind, Plan};
use crate::progress::Progress;
use crate::receipt::{Existing, Found, Inventory, Looks};
use crate::run::{Run, comparison, options};
use crate::source::Source;

/// Entries that are named; the others are only counted.
const SHOWN: usize = 20;

impl Run<'_> {
    /// Describes one step, and fails as the step would.
    fn describe(&self, step: &Step, earlier: &[Step]) -> Result<String, Error> {
        let Some(dest) = &step.dest else {
            return Ok(format!("step {}: waits, and copies nothing\n", step.name));
        };
        let client = self.client(step)?;
        let named = open::name(&step.sources)?;
        let target = Target::of(step, &named, dest);
        let current = target.dir.is_dir().then(|| Root::open(&target.dir)).transpose()?;
        let progress = Progress::default();
        refuse_into_itself(step, &named, dest)?;
        let expected = self.expected(step, &named, &client)?;
        let options = options(step, &target, expected.as_ref());
        let opening = Opening {
            step,
            client: &client,
            progress: &progress,
            owner: "",
            current: current.as_ref(),
            anew: false,
            base: None,
            rename: target.rename.as_deref(),
            contents: target.contents,
            options: &options,
            expected: expected.as_ref(),
        };
        let plan = opening.plan(&named)?;
        let found = match &current {
            Some(root) => {
                let looks = Looks::take(root, &step.receipt);
                let inventory = Inventory::new(root, &step.receipt, looks);
                comparison(step, earlier, &plan, &options).with(root, inventory)?
            }
            None => Found::everything(&plan),
        };
        report(step, &plan, &found, &target.dir)
    }
}

fn report(step: &Step, plan: &Plan, found: &Found, dir: &Path) -> Result<String, Error> {
    let mut text = format!("step {}: to {}\n", step.name, dir.display());
    let todo = || found.todo.iter().map(|&index| &plan.entries[index]);
    let count = |kind| todo().filter(|entry| entry.kind == kind).count();
    let bytes: u64 = todo().map(crate::plan::Entry::size).sum();
    let touched = found.touched.len();
    let proven = plan.entries.len().saturating_sub(found.todo.len() + found.left);
    let line = |text: &mut String, name: &str, value: String| {
        *text += &format!("  {name:<12}{value}\n");
    };
    line(
        &mut text,
        "copies",
        format!(
            "{} files, {} directories, {} links: {}",
            count(Kind::File),
            count(Kind::Dir),
            count(Kind::Link),
            Bytes(bytes)
        ),
    );
    line(&mut text, "proven", format!("{proven} entries are in place and stay"));
    if !found.touched.is_empty() {
        let (name, what) = match step.existing {
            Existing::Keep | Existing::Seed | Existing::Update => ("leaves", "entries as they are"),
            Existing::Replace | Existing::Fail => ("replaces", "entries"),
        };
        line(
            &mut text,
            name,
            format!("{touched} {what} that were not put there by init-copy, or were changed since"),
        );
    }
    if step.prune {
        line(
            &mut text,
            "prunes",
            format!("{} entries of earlier runs", found.stale.len()),
        );
    }
    for entry in todo().take(SHOWN) {
        text += &format!("    {} <- {}\n", entry.target.display(), plan.origin(entry).display());
    }
    if found.todo.len() > SHOWN {
        text += &format!("    and {} more\n", found.todo.len() - SHOWN);
    }
    let archives: u64 = plan
        .sources
        .iter()
        .filter(|source| matches!(source.content, Content::Announced) && step.unpack != crate::archive::Unpack::Off)
        .count() as u64;
    if archives > 0 {
        line(
            &mut text,
            "note",
            "what an archive on a server unpacks to is known after the download".into(),
        );
    }
    fits(&mut text, step, dir, bytes, todo().count() as u64)?;
    line(&mut text, "image", image_volume(step, dir));
    Ok(text)
}

/// Staged content becomes the final one by rename: the peak is what is there now and what is new.
fn fits(text: &mut String, step: &Step, dir: &Path, bytes: u64, inodes: u64) -> Result<(), Error> {
    let existing = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    let stat = statvfs(existing).at("look at", existing)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    // Some file systems make inodes as they are needed, and say 0.
    let free_inodes = if stat.f_files == 0 {
        "any number of".to_owned()
    } else {
        stat.f_favail.to_string()
    };
    *text += &format!(
        "  {:<12}{} and {inodes} inodes more while it runs; free are {} and {free_inodes} inodes\n",
        "peak",
        Bytes(bytes),
        Bytes(free),
    );
    if bytes > free {
        return Err(Error::TooLarge {
            dest: dir.to_owned(),
            needed: bytes,
            free,
        });
    }
    if bytes > step.limits.bytes {
        return Err(Error::new(
            crate::error::NO_SPACE,
            format!("{bytes} bytes are to be copied, and {} are allowed", step.limits.bytes),
            "raise --max-bytes if it is meant to be that much",
        ));
    }
    if stat.f_files > 0 && inodes > stat.f_favail {
        return Err(Error::new(
            crate::error::NO_SPACE,
            format!(
                "{inodes} inodes are needed at {}, and {} are free",
                dir.display(),
                stat.f_favail
            ),
            "choose a volume with more inodes, or copy an archive instead of its members",
        ));
    }
    Ok(())
}

/// Would a read-only mount of an image do the same?
fn image_volume(step: &Step, dir: &Path) -> String {
    let local = step.sources.iter().all(|source| matches!(source, Source::Path(_)));
    let why = if !local {
        "no: the content comes over the network"
    } else if step.unpack != crate::archive::Unpack::Off {
        "no: an image volume does not unpack"
    } else if !step.substitute.is_empty() {
        "no: an image volume does not put variables in"
    } else if dir.exists() && !is_mount_point(dir) {
        "no: the destination holds other things too"
    } else {
        "yes, on Kubernetes 1.35 or later, if the application only reads it"
    };
    format!("volume instead: {why}")
}

/// All steps, one after the other; what the first steps would bring is not there for the later ones.
pub(crate) fn describe(run: &Run<'_>, steps: &[Step]) -> Result<String, Failure> {
    let texts = steps
        .iter()
        .enumerate()
        .map(|(at, step)| run.describe(step, &steps[..at]))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(texts.concat())
}
