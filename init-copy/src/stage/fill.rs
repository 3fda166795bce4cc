//! Everything staged, by several threads.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::fs::{Mode, OFlags, fstat, fstatvfs, mkdirat, openat, syncfs};

use super::file;
use super::staging::{Done, Job, Staging, units};
use super::sweep::sweep;
use crate::attributes::What;
use crate::dest::Ground;
use crate::dest::beneath::{self, Root};
use crate::error::{At as _, Error};
use crate::plan::names::PREFIX;
use crate::plan::{Content, Entry, Kind, Plan, Share};
use crate::signals::{Staged, is_stopping};

/// Up to here each file is synced by itself; above, one sync of the file system costs less than thousands of barriers.
const SYNC_EACH: usize = 64;
/// Entries that a worker takes at a time: neighbours share a directory.
const STRIDE: usize = 16;
/// Below this, starting threads costs more than it saves.
const WORTH_THREADS: usize = 64;
const MAX_THREADS: usize = 4;
/// A worker's buffers are on the heap.
const STACK: usize = 256 << 10;

impl<'a> Staging<'a> {
    /// Copies the entries `todo` onto the `ground` that they go to. Without one, all of them make one unit that becomes the
    /// destination itself.
    pub(crate) fn fill(
        job: &Job<'_>,
        base: &'a Root,
        todo: &'a [usize],
        ground: Option<&Ground>,
    ) -> Result<Self, Error> {
        let mounted = ground.map_or(&[][..], Ground::volumes);
        let goes_to = |target: &Path| ground.map_or(Path::new(""), |ground| ground.mount_of(target));
        refuse_too_large(base, job.plan, todo, true, |target| {
            goes_to(target).as_os_str().is_empty()
        })?;
        for (mount, root) in mounted {
            refuse_too_large(root, job.plan, todo, false, |target| goes_to(target) == mount)?;
            sweep(root)?;
        }
        let run = format!("{PREFIX}{:08x}", fastrand::u32(..));
        let mut staging = Self {
            base,
            units: units(job.plan, todo, &run, ground),
            todo,
            done: vec![None; todo.len()],
            _staged: Staged::something(),
        };
        staging.make_dirs(job.plan)?;
        let each = todo.len() <= SYNC_EACH;
        staging.fill_files(job, job.durable && each)?;
        staging.fill_archives(job, job.durable && each)?;
        staging.link_names(job, job.durable && each)?;
        staging.finish_dirs(job, job.durable && each)?;
        staging.refuse_missing(job.plan)?;
        if job.durable && !each {
            for root in mounted.iter().map(|(_, root)| root).chain([base]) {
                syncfs(root).at("sync", root.path())?;
            }
        }
        Ok(staging)
    }

    /// Everything has been staged, but for the destination itself, which gets its receipt first.
    fn refuse_missing(&self, plan: &Plan) -> Result<(), Error> {
        let mut staged = self.todo.iter().map(|&index| &plan.entries[index]).zip(&self.done);
        match staged.find(|(entry, done)| done.is_none() && !entry.target.as_os_str().is_empty()) {
            Some((entry, _)) => Err(Error::Changed(plan.origin(entry))),
            None => Ok(()),
        }
    }

    /// Which of the staged entries get content of their own: of a file with several names, the first one on each volume.
    fn leads(&self, plan: &Plan) -> Vec<bool> {
        let mut seen = HashSet::new();
        let entries = self.todo.iter().map(|&index| &plan.entries[index]).enumerate();
        entries
            .map(|(at, entry)| entry.share == Share::Alone || seen.insert(self.inode(plan, at)))
            .collect()
    }

    /// Tells the file of several names that the `at`-th entry is one of, and the volume that it is on.
    fn inode(&self, plan: &Plan, at: usize) -> ((u32, u32), &Path) {
        let entry = &plan.entries[self.todo[at]];
        let is_tar = matches!(
            plan.sources[entry.source as usize].content,
            Content::Archive(crate::archive::Archive::Tar { .. })
        );
        let unit = &self.units[self.units.partition_point(|unit| unit.entries.end <= at)];
        let volume = unit.temp.as_deref().and_then(Path::parent);
        // A tar passes by once: on another volume, the file becomes a copy of the first one.
        (entry.file(), volume.filter(|_| !is_tar).unwrap_or(Path::new("")))
    }

    fn make_dirs(&self, plan: &Plan) -> Result<(), Error> {
        let mut cursor = self.base.cursor();
        for unit in &self.units {
            let temp = unit.temp.as_deref().unwrap_or(Path::new(""));
            if unit.target.as_os_str().is_empty() {
                mkdirat(self.base, temp, Mode::from_raw_mode(0o777)).at("create", &self.base.path().join(temp))?;
            }
            for at in unit.entries.clone() {
                let entry = &plan.entries[self.todo[at]];
                if entry.kind == Kind::Dir && !entry.target.as_os_str().is_empty() {
                    let path = self.path(plan, at);
                    let parent = cursor.parent(&path)?;
                    mkdirat(parent, path.file_name().unwrap_or_default(), Mode::from_raw_mode(0o777))
                        .at("create", &self.base.path().join(&entry.target))?;
                }
            }
        }
        Ok(())
    }

    /// Files and links that lie as such in the source, by several threads.
    fn fill_files(&mut self, job: &Job<'_>, sync: bool) -> Result<(), Error> {
        let leads = self.leads(job.plan);
        let todo: Vec<usize> = (0..self.todo.len())
            .filter(|&at| {
                let entry = &job.plan.entries[self.todo[at]];
                let tar = matches!(
                    &job.plan.sources[entry.source as usize].content,
                    Content::Archive(crate::archive::Archive::Tar { .. })
                );
                entry.kind != Kind::Dir && leads[at] && !tar
            })
            .collect();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if todo.len() < WORTH_THREADS {
            1
        } else {
            cores.clamp(2, MAX_THREADS)
        };
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let results: Mutex<Vec<(usize, Done)>> = Mutex::new(Vec::with_capacity(todo.len()));
        let this = &*self;
        let work = || -> Result<(), Error> {
            let mut worker = file::Worker::new(job, this, sync);
            let mut finished = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let from = next.fetch_add(STRIDE, Ordering::Relaxed);
                if from >= todo.len() {
                    break;
                }
                if is_stopping() {
                    failed.store(true, Ordering::Relaxed);
                    return Err(Error::Stopped);
                }
                for &at in &todo[from..(from + STRIDE).min(todo.len())] {
                    finished.push((
                        at,
                        worker
                            .stage(at)
                            .inspect_err(|_| failed.store(true, Ordering::Relaxed))?,
                    ));
                }
            }
            results
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(&mut finished);
            Ok(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map_while(|_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok())
                .collect();
            let mine = work();
            let theirs = others.into_iter().filter_map(|other| other.join().ok());
            theirs.fold(mine, |first, other| first.and(other))
        })?;
        for (at, done) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.done[at] = Some(done);
        }
        Ok(())
    }

    /// Members of tars, which can only be had in their order.
    fn fill_archives(&mut self, job: &Job<'_>, sync: bool) -> Result<(), Error> {
        let leads = self.leads(job.plan);
        for (source, opened) in job.plan.sources.iter().enumerate() {
            let Content::Archive(crate::archive::Archive::Tar { file, packing }) = &opened.content else {
                continue;
            };
            let wanted: HashMap<u32, usize> = (0..self.todo.len())
                .filter(|&at| {
                    let entry = &job.plan.entries[self.todo[at]];
                    entry.source as usize == source && entry.kind != Kind::Dir && leads[at]
                })
                .map(|at| (job.plan.entries[self.todo[at]].number, at))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let this = &*self;
            let done = file::Worker::new(job, this, sync).stage_tar(&opened.label, file, *packing, &wanted)?;
            for (at, done) in done {
                self.done[at] = Some(done);
            }
        }
        Ok(())
    }

    /// The other names of files that have several.
    fn link_names(&mut self, job: &Job<'_>, sync: bool) -> Result<(), Error> {
        let plan = job.plan;
        let mut first = HashMap::new();
        let mut links = Vec::new();
        for (at, leads) in self.leads(plan).into_iter().enumerate() {
            if leads && plan.entries[self.todo[at]].share != Share::Alone {
                first.insert(self.inode(plan, at), at);
            } else if !leads && let Some(&of) = first.get(&self.inode(plan, at)) {
                links.push((of, at));
            }
        }
        for (of, at) in links {
            let done = file::Worker::new(job, self, sync).link(of, at)?;
            self.done[at] = Some(done);
        }
        Ok(())
    }

    /// Gives the directory that becomes the destination its attributes, once all is in it, the receipt too.
    pub(crate) fn finish_root(&self, job: &Job<'_>) -> Result<(), Error> {
        let Some(temp) = self.units.first().and_then(|unit| unit.temp.as_deref()) else {
            return Ok(());
        };
        let mut cursor = self.base.cursor();
        let fd = cursor.dir(temp)?;
        let root = job
            .plan
            .entries
            .first()
            .filter(|entry| entry.target.as_os_str().is_empty());
        if let Some(entry) = root {
            finish_dir(job, entry, fd, What::NewDir).at("set the attributes of", self.base.path())?;
        }
        if job.durable {
            beneath::sync(fd).at("sync", self.base.path())
        } else {
            Ok(())
        }
    }

    /// Directories get their attributes when they are full, the deepest first: one may be closed to writing.
    fn finish_dirs(&mut self, job: &Job<'_>, sync: bool) -> Result<(), Error> {
        let mut cursor = self.base.cursor();
        for at in (0..self.todo.len()).rev() {
            let entry = &job.plan.entries[self.todo[at]];
            // The destination itself still gets its receipt.
            if entry.kind != Kind::Dir || entry.target.as_os_str().is_empty() {
                continue;
            }
            let path = self.path(job.plan, at);
            let fd = cursor.dir(&path)?;
            let shown = self.base.path().join(&entry.target);
            finish_dir(job, entry, fd, What::NewDir).at("set the attributes of", &shown)?;
            if sync {
                beneath::sync(fd).at("sync", &shown)?;
            }
            let fingerprint = crate::content::fingerprint::Fingerprint::of(&fstat(fd).at("look at", &shown)?);
            self.done[at] = Some(Done {
                fingerprint,
                sha256: None,
            });
        }
        Ok(())
    }
}

/// Gives a directory that is full its attributes.
pub(crate) fn finish_dir(
    job: &Job<'_>,
    entry: &Entry,
    fd: std::os::fd::BorrowedFd<'_>,
    what: What,
) -> rustix::io::Result<()> {
    let source = match job.plan.sources[entry.source as usize].content {
        Content::Local(_) => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(rustix::fs::CWD, job.plan.origin(entry), flags, Mode::empty()).ok()
        }
        _ => None,
    };
    let stat = source.as_ref().map(fstat).transpose()?;
    let source = source.as_ref().zip(stat.as_ref()).map(|(fd, stat)| (fd.as_fd(), stat));
    job.attributes
        .finish(fd, u32::from(entry.mode), what, entry.fingerprint.modified, source)
}

/// Refuses what there is no room for; on the volume `with_parts`, what was fetched lies already.
fn refuse_too_large(
    base: &Root,
    plan: &Plan,
    todo: &[usize],
    with_parts: bool,
    goes_here: impl Fn(&Path) -> bool,
) -> Result<(), Error> {
    let needed = todo
        .iter()
        .map(|&index| &plan.entries[index])
        .filter(|entry| goes_here(&entry.target))
        .filter(|entry| !(with_parts && matches!(plan.sources[entry.source as usize].content, Content::Fetched { .. })))
        .map(Entry::size)
        .sum();
    let stat = fstatvfs(base).at("look at", base.path())?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if needed > free {
        return Err(Error::TooLarge {
            dest: base.path().to_owned(),
            needed,
            free,
        });
    }
    Ok(())
}
