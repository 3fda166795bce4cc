//! One step after the other: wait, fetch, plan, stage, publish, prune, receipt.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pod_contract::start::last_words::LastWords;
use sha2::{Digest as _, Sha256};

use crate::archive::Unpack;
use crate::ask::Network;
use crate::ask::Step;
use crate::content::checksum::Expected;
use crate::copy::Engine;
use crate::dest::Place;
use crate::dest::beneath::Root;
use crate::dest::{Ground, Target, refuse_into_itself};
use crate::error::{CONFLICT, Error, NO_SPACE, USAGE};
use crate::fetch::{Client, Deadline, forget};
use crate::open::{self, Named, Opening};
use crate::plan::{Content, Links, Opened, Plan};
use crate::progress::Progress;
use crate::publish::{Publish, Way};
use crate::receipt::{
    Comparison, Entered, Existing, Found, Inventory, Keeping, Looks, prune, refuse_as_target, refuse_of_another,
};
use crate::source::Source;
use crate::stage::{self, Job, Staging};
use crate::wait::wait_for;
use pod_contract::units::hex;

/// Everything that the steps share.
pub(crate) struct Run<'a> {
    pub(crate) network: &'a Network,
    pub(crate) words: &'a LastWords,
    pub(crate) deadline: Deadline,
    pub(crate) interval: Option<Duration>,
    /// Something is no longer wanted that was over what another step had put there.
    pub(crate) exposed: AtomicBool,
}

impl Run<'_> {
    pub(crate) fn client(&self, step: &Step) -> Result<Client, Error> {
        Client::new(
            &self.network.tls,
            step.credentials.clone(),
            self.network.stall,
            self.deadline,
        )
        .map_err(Error::from)
    }

    /// The digest that the one source has to have.
    pub(crate) fn expected(&self, step: &Step, named: &[Named], client: &Client) -> Result<Option<Expected>, Error> {
        if step.checksum.is_none() {
            return Ok(None);
        }
        let refuse = |cause: &str, remedy: &str| Err(Error::new(USAGE, cause, remedy));
        match named {
            [Named::Oci(_)] => refuse(
                "a digest beside an oci:// source would say nothing",
                "put it behind the reference: oci://registry/repository@sha256:…",
            ),
            [one] => {
                let source = if let Named::Url(url) = one { Some(url) } else { None };
                open::expected(step, client, &file_name(one), source)
            }
            several => refuse(
                &format!("the digest is for one source, and there are {}", several.len()),
                "copy each in a step of its own",
            ),
        }
    }

    /// Carries out one step, after the `earlier` ones.
    pub(crate) fn step(&self, step: &Step, earlier: &[Step]) -> Result<(), Error> {
        let started = Instant::now();
        let client = self.client(step)?;
        if !step.wait_for.is_empty() {
            wait_for(&step.wait_for, &client, self.words)?;
        }
        let Some(dest) = &step.dest else { return Ok(()) };
        let named = open::name(&step.sources)?;
        refuse_into_itself(step, &named, dest)?;
        let target = Target::of(step, &named, dest);
        if target.rename.is_some() && matches!(step.publish, Publish::As(Way::Exchange | Way::Symlink)) {
            return Err(Error::new(
                USAGE,
                format!(
                    "DEST {} is a file, and only a directory is exchanged or linked",
                    dest.display()
                ),
                "let DEST be the directory, with a slash, or use --publish rename",
            ));
        }
        if step.existing.leaves() && matches!(step.publish, Publish::As(Way::Exchange | Way::Symlink)) {
            return Err(keeps_nothing());
        }
        let expected = self.expected(step, &named, &client)?;
        let work = Work {
            run: self,
            step,
            earlier,
            client: &client,
            target: &target,
            expected: expected.as_ref(),
            options: options(step, &target, expected.as_ref()).into(),
            progress: Progress::default(),
        };
        let copied = work.carry_out(&named)?;
        let (took, step_name) = (started.elapsed(), &*step.name);
        match copied {
            Copied { way: None, left: 0, .. } => {
                tracing::info!(step = step_name, dest = %dest.display(), ?took, "nothing to do: the receipt proves every entry");
            }
            Copied {
                way: None,
                proven,
                left,
                ..
            } => tracing::info!(
                step = step_name,
                dest = %dest.display(),
                proven,
                left,
                ?took,
                "nothing to do: the receipt proves every entry but those that were left"
            ),
            Copied { way: Some(way), .. } => tracing::info!(
                step = step_name,
                dest = %dest.display(),
                copied = copied.entries,
                proven = copied.proven,
                left = copied.left,
                bytes = copied.bytes,
                publish = way.name(),
                ?took,
                "done"
            ),
        }
        Ok(())
    }
}

/// What a step did.
struct Copied {
    entries: usize,
    proven: usize,
    /// Entries that stay as others made them.
    left: usize,
    bytes: u64,
    /// `None` when there was nothing to do.
    way: Option<Way>,
}

struct Work<'w> {
    run: &'w Run<'w>,
    step: &'w Step,
    earlier: &'w [Step],
    client: &'w Client,
    target: &'w Target,
    expected: Option<&'w Expected>,
    options: Arc<str>,
    progress: Progress,
}

impl Work<'_> {
    fn carry_out(&self, named: &[Named]) -> Result<Copied, Error> {
        let place = Place::open(&self.target.dir, self.step.publish, self.run.deadline)?;
        if self.step.existing.leaves() && place.name.is_some() && place.current.is_some() {
            return Err(keeps_nothing());
        }
        refuse_of_another(&self.step.receipt, &place.base, place.visible(), &self.target.dir)?;
        stage::sweep(&place.base)?;
        let owner = self.step.parts_owner();
        let (mut plan, mut found) = self.compare(named, &place, &owner, false)?;
        if self.needs_what_was_kept(&plan, &found, &place) {
            (plan, found) = self.compare(named, &place, &owner, true)?;
        }
        if self.step.existing != Existing::Replace {
            self.tell_of_touched(&plan, &found.touched);
        }
        if self.is_nothing(&found, &place) {
            forget_parts(&plan, &place.base);
            return Ok(Copied {
                entries: 0,
                proven: plan.entries.len() - found.left,
                left: found.left,
                bytes: 0,
                way: None,
            });
        }
        let (copied, touched) = match &place.name {
            None => {
                let (ground, mut found) = self.take_ground(&plan, &place, found)?;
                let touched = std::mem::take(&mut found.touched);
                (self.rename(&plan, &place, ground, found)?, touched)
            }
            Some(name) => (self.replace(&plan, &place, name, &found)?, found.touched),
        };
        if self.step.existing == Existing::Replace {
            self.tell_of_touched(&plan, &touched);
        }
        if self.step.attributes.not_kept() > 0 {
            tracing::warn!(
                attributes = self.step.attributes.not_kept(),
                "owners or extended attributes were not kept: this process lacks the privileges for it"
            );
        }
        Ok(copied)
    }

    /// What the sources hold, all of it looked into `anew` or not, and what of that is to be done.
    fn compare(&self, named: &[Named], place: &Place, owner: &str, anew: bool) -> Result<(Plan, Found), Error> {
        let opening = Opening {
            step: self.step,
            client: self.client,
            progress: &self.progress,
            owner,
            current: place.visible(),
            anew,
            base: Some(&place.base),
            rename: self.target.rename.as_deref(),
            contents: self.target.contents,
            options: &self.options,
            expected: self.expected,
        };
        let (plan, looks) = self.look(&opening, named, place.visible());
        let plan = plan?;
        let used: Vec<_> = plan
            .sources
            .iter()
            .filter_map(|source| source.part.as_deref())
            .collect();
        stage::sweep_parts(&place.base, owner, &used)?;
        refuse_as_target(&self.step.receipt, &self.target.dir, &plan)?;
        let comparison = comparison(self.step, self.earlier, &plan, &self.options);
        let found = match (place.visible(), looks) {
            (Some(root), Some(looks)) => comparison.with(root, Inventory::new(root, &self.step.receipt, looks))?,
            _ => Found::everything(&plan),
        };
        Ok((plan, found))
    }

    /// Looks at the directories that something goes into, and waits for the locks of the volumes among them. What stands on such a
    /// volume may be another one's by then, and is looked at again.
    fn take_ground(&self, plan: &Plan, place: &Place, mut found: Found) -> Result<(Ground, Found), Error> {
        let base = &place.base;
        let mut ground = Ground::survey(base, found.todo.iter().map(|&index| &*plan.entries[index].target))?;
        if self.step.prune {
            ground.survey_what_can_be(base, found.stale.iter().map(|record| record.path.as_path()));
        }
        ground.lock(base, self.run.deadline)?;
        if !ground.volumes().is_empty() {
            let looks = Looks::take(base, &self.step.receipt);
            let inventory = Inventory::new(base, &self.step.receipt, looks);
            let now = comparison(self.step, self.earlier, plan, &self.options).with(base, inventory)?;
            // Nothing was surveyed for what has come to be missing since.
            if now.todo.iter().any(|index| found.todo.binary_search(index).is_err()) {
                return Err(Error::new(
                    CONFLICT,
                    format!(
                        "{} was changed by another while its volumes were waited for",
                        base.path().display()
                    ),
                    "run it again",
                ));
            }
            found = now;
        }
        Ok((ground, found))
    }

    /// Is there nothing to do?
    fn is_nothing(&self, found: &Found, place: &Place) -> bool {
        // What is replaced as a whole has nothing in it that is no longer wanted.
        let goes = self.step.prune || place.name.is_some() || found.exposes;
        place.visible().is_some() && found.todo.is_empty() && found.dirs.is_empty() && (found.stale.is_empty() || !goes)
    }

    /// Is something to be staged that is in place, or was, and so was not looked into?
    fn needs_what_was_kept(&self, plan: &Plan, found: &Found, place: &Place) -> bool {
        let is_kept = |source: &Opened| matches!(source.content, Content::Kept);
        if place.name.is_some() {
            return !self.is_nothing(found, place) && plan.sources.iter().any(is_kept);
        }
        let mut todo = found.todo.iter().map(|&index| &plan.entries[index]);
        todo.any(|entry| is_kept(&plan.sources[entry.source as usize]))
    }

    /// Looks into the sources and at the destination.
    fn look(
        &self,
        opening: &Opening<'_>,
        named: &[Named],
        visible: Option<&Root>,
    ) -> (Result<Plan, Error>, Option<Looks>) {
        // What takes a while, such as a download, comes first: the look at the destination has to be fresh.
        let quick = named.iter().all(|source| matches!(source, Named::Path(_)));
        thread::scope(|scope| {
            let look = || visible.map(|root| Looks::take(root, &self.step.receipt));
            let early = quick
                .then(|| thread::Builder::new().spawn_scoped(scope, look).ok())
                .flatten();
            let plan = self
                .progress
                .during("fetching", self.run.interval, || opening.plan(named));
            // A panic there has ended the process.
            let looks = early.and_then(|early| early.join().ok());
            (plan, looks.unwrap_or_else(look))
        })
    }

    /// What others put there or changed, and what became of it: nothing of that is done without a word.
    fn tell_of_touched(&self, plan: &Plan, touched: &[usize]) {
        let Some(&first) = touched.first() else { return };
        if self.step.receipt == Keeping::Off && self.step.existing == Existing::Replace {
            // Nothing is known of what was put there by whom.
            return;
        }
        let (entries, first) = (touched.len(), self.target.dir.join(&plan.entries[first].target));
        let first = first.display();
        match self.step.existing {
            Existing::Replace => tracing::warn!(
                entries,
                %first,
                "replaced what was not put there by init-copy, or was changed since; --existing keep or seed leaves it"
            ),
            Existing::Keep | Existing::Seed => {
                tracing::info!(entries, %first, "left what was not put there by init-copy, or was changed since");
            }
            // It has failed by now, or is what `cp -u` is for.
            Existing::Fail | Existing::Update => {}
        }
    }

    fn job<'j>(&'j self, plan: &'j Plan) -> Result<Job<'j>, Error> {
        Ok(Job {
            plan,
            attributes: &self.step.attributes,
            substitute: &self.step.substitute,
            engine: Engine::new(&self.progress),
            expected: self
                .expected
                .filter(|_| matches!(plan.sources.first(), Some(source) if source.identity.is_none())),
            proof: self.step.proof,
            durable: self.step.durable,
            links: self.step.links.unwrap_or(Links::Keep),
            leniency: self.step.leniency,
            roots: Job::open_roots(plan)?,
        })
    }

    fn stage<'s>(
        &self,
        job: &Job<'_>,
        base: &'s Root,
        todo: &'s [usize],
        ground: Option<&Ground>,
    ) -> Result<Staging<'s>, Error> {
        let bytes = todo.iter().map(|&index| job.plan.entries[index].size()).sum::<u64>();
        if bytes > self.step.limits.bytes {
            return Err(Error::new(
                NO_SPACE,
                format!(
                    "{bytes} bytes are to be copied, and {} are allowed",
                    self.step.limits.bytes
                ),
                "raise --max-bytes if it is meant to be that much",
            ));
        }
        self.progress.set_done(0);
        self.progress.set_total(bytes);
        let staging = self
            .progress
            .during("copying", self.run.interval, || Staging::fill(job, base, todo, ground))?;
        unchanged(job.plan)?;
        // Before the receipt looks at the files: the loss of a name changes a file's status, and it would not be proven then.
        forget_parts(job.plan, base);
        Ok(staging)
    }

    /// New and changed entries beside what else stands there.
    fn rename(&self, plan: &Plan, place: &Place, ground: Ground, mut found: Found) -> Result<Copied, Error> {
        let todo = std::mem::take(&mut found.todo);
        let base = &place.base;
        let mut opened = ground.open(base)?;
        let job = self.job(plan)?;
        let mut staging = self.stage(&job, base, &todo, Some(&ground))?;
        let receipt = Entered {
            plan,
            step: self.step,
            earlier: self.earlier,
            options: &self.options,
            dest: &self.target.dir,
            dirs: &found.dirs,
        };
        receipt.announce(base, &staging)?;
        staging.rename(&job, base)?;
        if found.exposes {
            self.run.exposed.store(true, Ordering::Relaxed);
        }
        let (stay, pruned) = if self.step.prune {
            prune(base, found.stale, self.step.proof)
        } else {
            (found.stale, Ok(()))
        };
        // The top comes last: the receipt goes in there.
        let top = found
            .own_dirs
            .iter()
            .filter(|&&index| plan.entries[index].target.as_os_str().is_empty());
        let (top, below) = found.own_dirs.split_at(top.count());
        opened.close_below();
        Staging::settle_dirs(&job, base, below)?;
        warn_without_receipt(receipt.write(base, &staging, stay));
        drop(opened);
        Staging::settle_dirs(&job, base, top)?;
        pruned?;
        Ok(Copied {
            entries: todo.len() + found.dirs.len(),
            proven: plan
                .entries
                .len()
                .saturating_sub(todo.len() + found.dirs.len() + found.left),
            left: found.left,
            bytes: staging.bytes(plan),
            way: Some(place.way),
        })
    }

    /// The directory as a whole.
    fn replace(&self, plan: &Plan, place: &Place, name: &OsStr, found: &Found) -> Result<Copied, Error> {
        if found.others {
            tracing::warn!(dest = %self.target.dir.display(), "what other steps put there goes: it is replaced as a whole");
        }
        let all: Vec<usize> = (0..plan.entries.len()).collect();
        let job = self.job(plan)?;
        let mut staging = self.stage(&job, &place.base, &all, None)?;
        staging.settle_downloads(plan)?;
        let receipt = Entered {
            plan,
            step: self.step,
            earlier: self.earlier,
            options: &self.options,
            dest: &self.target.dir,
            dirs: &[],
        };
        receipt.write_staged(&staging, place.visible())?;
        staging.finish_root(&job)?;
        match place.way {
            Way::Symlink => staging.switch(name, self.step.durable)?,
            Way::Exchange => {
                staging.keep_attributes_of(place.current.as_ref())?;
                staging.exchange(name, self.step.durable)?;
            }
            Way::Rename => staging.appear(name, self.step.durable)?,
        }
        warn_without_receipt(receipt.write_beside(&staging));
        Ok(Copied {
            entries: all.len(),
            proven: 0,
            left: 0,
            bytes: staging.bytes(plan),
            way: Some(place.way),
        })
    }
}

/// How the step's plan is compared with a destination.
pub(crate) fn comparison<'c>(step: &'c Step, earlier: &'c [Step], plan: &'c Plan, options: &'c str) -> Comparison<'c> {
    Comparison {
        plan,
        by: &step.name,
        options,
        proof: step.proof,
        existing: step.existing,
        prune: step.prune,
        earlier,
        dir_attributes: step.attributes.wants_dirs(),
        all_dirs: step.as_cp,
    }
}

/// Bytes; what is longer is known by its digest.
const MAX_OPTIONS: usize = 4096;

/// What is wanted beside the content; a change of it makes entries unproven.
pub(crate) fn options(step: &Step, target: &Target, expected: Option<&Expected>) -> String {
    let mut text = step.attributes.describe();
    if let Some(name) = &target.rename {
        text += &format!(";as={}", name.display());
    }
    let is_artifact = step.sources.iter().any(|source| matches!(source, Source::Oci(_)));
    if step.unpack != Unpack::Off || is_artifact {
        text += &format!(";unpack={:?};strip={}", step.unpack, step.strip);
        for glob in &step.exclude {
            text += &format!(";exclude={}", glob.as_str());
        }
        for glob in &step.members {
            text += &format!(";member={}", glob.as_str());
        }
    }
    if let Some(links) = step.links {
        text += &format!(";links={links:?}");
    }
    if let Some(expected) = expected {
        text += &format!(";expected={expected}");
    }
    // A line of the receipt has a limit.
    match text.len() {
        0..=MAX_OPTIONS => text,
        _ => format!("sha256:{}", hex(&Sha256::digest(text.as_bytes()))),
    }
}

fn file_name(named: &Named) -> String {
    match named {
        Named::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Named::Url(url) => String::from_utf8_lossy(&url.file_name()).into_owned(),
        Named::S3(object) => object.file_name().to_owned(),
        Named::Oci(reference) => reference.to_string(),
    }
}

/// An archive that was written to while it was unpacked is half old and half new.
fn unchanged(plan: &Plan) -> Result<(), Error> {
    use crate::archive::Archive;
    for source in &plan.sources {
        let file = match &source.content {
            Content::Archive(Archive::Zip(zip)) => zip.file(),
            Content::Archive(Archive::Tar { file, .. } | Archive::File { file, .. }) => file,
            _ => continue,
        };
        let Ok(stat) = rustix::fs::fstat(file) else { continue };
        let now = crate::content::fingerprint::Fingerprint::of(&stat).to_string();
        // A download is identified otherwise, and nobody else writes to it.
        if source.part.is_none() && source.identity.as_deref() != Some(&now) {
            return Err(Error::Changed(PathBuf::from(&*source.label)));
        }
    }
    Ok(())
}

fn warn_without_receipt(written: Result<(), Error>) {
    if let Err(error) = written {
        tracing::warn!(%error, "the copy is complete but has no receipt: the next run copies again");
    }
}

fn keeps_nothing() -> Error {
    Error::new(
        USAGE,
        "what is replaced as a whole keeps nothing of what stood there",
        "use --publish rename with --existing keep or seed, on a directory that is no link of --publish symlink",
    )
}

/// Downloads are done with.
fn forget_parts(plan: &Plan, base: &Root) {
    for part in plan.sources.iter().filter_map(|source| source.part.as_deref()) {
        forget(base, part);
    }
}
