//! One file or link, staged.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Stat, fdatasync, fstat, linkat, openat, readlinkat, renameat, statat, symlinkat,
};
use rustix::io::Errno;

use super::staging::{Done, Job, Staging};
use crate::archive::{self, Archive, MemberKind, Packing, Refused, Unpacking};
use crate::attributes::What;
use crate::content::checksum::{self, Hasher};
use crate::content::fingerprint::Fingerprint;
use crate::copy::Failed;
use crate::dest::beneath::{Cursor, Root};
use crate::error::{At as _, Error};
use crate::plan::{Content, Entry, Kind, Links};
use crate::receipt::{Proof, digest_of_link};
use crate::signals::is_stopping;
use pod_contract::units::hex;

/// One thread's hands: its buffers, and the directories it has open.
pub(super) struct Worker<'w> {
    job: &'w Job<'w>,
    staging: &'w Staging<'w>,
    target: Cursor<'w>,
    /// Walks in the trees of local sources, by the number of the source.
    sources: Vec<Option<Cursor<'w>>>,
    scratch: Vec<u8>,
    unzip: Option<archive::zip::Scratch>,
    sync: bool,
}

impl<'w> Worker<'w> {
    pub(super) fn new(job: &'w Job<'w>, staging: &'w Staging<'w>, sync: bool) -> Self {
        Self {
            job,
            staging,
            target: staging.base.cursor(),
            sources: job.roots.iter().map(|root| root.as_ref().map(Root::cursor)).collect(),
            scratch: Vec::new(),
            unzip: None,
            sync,
        }
    }

    fn entry(&self, at: usize) -> &'w Entry {
        &self.job.plan.entries[self.staging.todo[at]]
    }

    fn shown(&self, entry: &Entry) -> PathBuf {
        self.staging.shown(entry)
    }

    /// Stages the `at`-th entry, a file or a link of anything but a tar.
    pub(super) fn stage(&mut self, at: usize) -> Result<Done, Error> {
        let entry = self.entry(at);
        let opened = &self.job.plan.sources[entry.source as usize];
        match (&opened.content, entry.kind) {
            (Content::Local(base), Kind::Link) => self.local_link(at, base),
            (Content::Local(_), _) if entry.rendered.is_some() => self.rendered(at),
            (Content::Local(base), _) => self.local_file(at, base),
            (Content::Fetched { part, sha256 }, _) => self.fetched(at, part, sha256),
            (Content::Archive(Archive::Zip(zip)), _) => self.zipped(at, zip, &opened.label),
            (Content::Archive(Archive::File { file, packing }), _) => self.unpacked(at, file, *packing, &opened.label),
            (Content::Archive(Archive::Tar { .. }) | Content::Announced | Content::Kept, _) => Err(Error::new(
                1,
                format!("{} cannot be staged by itself", opened.label),
                "",
            )),
        }
    }

    fn create(&mut self, at: usize) -> Result<File, Error> {
        let entry = self.entry(at);
        let path = self.staging.path(self.job.plan, at);
        // Without a mode asked for, the umask takes its part and a default ACL applies, as for any new file.
        let mode = Mode::from_raw_mode(self.job.attributes.creation_mode(u32::from(entry.mode)));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = self.target.parent(&path)?;
        let fd = openat(parent, path.file_name().unwrap_or_default(), flags, mode);
        Ok(File::from(fd.at_path("write", || self.shown(entry))?))
    }

    /// Attributes, sync, and a last look.
    fn finish(
        &self,
        entry: &Entry,
        target: &File,
        source: Option<(&File, &Stat)>,
        sha256: Option<String>,
    ) -> Result<Done, Error> {
        let source = source.map(|(file, stat)| (file.as_fd(), stat));
        self.job
            .attributes
            .finish(
                target.as_fd(),
                u32::from(entry.mode),
                What::File,
                entry.fingerprint.modified,
                source,
            )
            .at_path("set the attributes of", || self.shown(entry))?;
        if self.sync {
            fdatasync(target).at_path("write", || self.shown(entry))?;
        }
        let stat = fstat(target).at_path("look at", || self.shown(entry))?;
        Ok(Done {
            fingerprint: Fingerprint::of(&stat),
            sha256,
        })
    }

    /// Opens the file of an entry in its source, no link below the source followed.
    fn open(&mut self, entry: &Entry, base: &Path) -> Result<File, Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let plan = self.job.plan;
        if self.job.links == Links::Follow {
            let origin = plan.origin(entry);
            let fd = openat(CWD, &origin, flags, Mode::empty()).at("read", &origin)?;
            return Ok(File::from(fd));
        }
        let fd: rustix::io::Result<OwnedFd> = match (plan.below(entry), &mut self.sources[entry.source as usize]) {
            (Some(below), Some(cursor)) => {
                let name = below.file_name().unwrap_or_default();
                openat(cursor.parent(below)?, name, flags | OFlags::NOFOLLOW, Mode::empty())
            }
            _ => openat(CWD, base, flags, Mode::empty()),
        };
        Ok(File::from(fd.at_path("read", || plan.origin(entry))?))
    }

    fn local_file(&mut self, at: usize, base: &Path) -> Result<Done, Error> {
        let entry = self.entry(at);
        let (job, staging) = (self.job, self.staging);
        let origin = || job.plan.origin(entry);
        let source = self.open(entry, base)?;
        let target = self.create(at)?;
        let size = entry.fingerprint.size;
        let (copied, digest) = match (job.expected, job.proof) {
            (None, Proof::Stat) => job
                .engine
                .copy(&source, size, &target, &mut self.scratch)
                .map(|copied| (copied, None)),
            (expected, _) => {
                let hasher = expected.map_or_else(Hasher::sha256, checksum::Expected::hasher);
                let hashed = job.engine.copy_hashed(&source, &target, size, hasher);
                hashed.map(|(copied, digest)| (copied, Some(digest)))
            }
        }
        .map_err(|failed| side(failed, &origin(), &staging.shown(entry)))?;
        // Looked at when all has been read: a file that was replaced or written to since it was planned may be half old and half new.
        let stat = fstat(&source).at_path("look at", origin)?;
        if Fingerprint::of(&stat) != entry.fingerprint || copied != size {
            return Err(Error::Changed(origin()));
        }
        // A file of /proc has no size, and content all the same.
        if size == 0 && rustix::io::pread(&source, &mut [0; 1][..], 0).is_ok_and(|read| read > 0) {
            return Err(Error::Special {
                path: origin(),
                kind: "file whose size is not what it holds",
            });
        }
        if let (Some(expected), Some(digest)) = (job.expected, &digest) {
            expected
                .verify(digest)
                .map_err(|why| checksum::mismatch(&origin().display().to_string(), &why))?;
        }
        let sha256 = digest.filter(|digest| digest.len() == 32).map(|digest| hex(&digest));
        self.finish(entry, &target, Some((&source, &stat)), sha256)
    }

    fn local_link(&mut self, at: usize, base: &Path) -> Result<Done, Error> {
        let entry = self.entry(at);
        let origin = self.job.plan.origin(entry);
        debug_assert!(origin.starts_with(base));
        let to = readlinkat(CWD, &origin, Vec::new()).at("read the link", &origin)?;
        let stat = statat(CWD, &origin, AtFlags::SYMLINK_NOFOLLOW).at("look at", &origin)?;
        self.make_link(at, to.to_bytes(), Some(&stat))
    }

    fn make_link(&mut self, at: usize, to: &[u8], stat: Option<&Stat>) -> Result<Done, Error> {
        let entry = self.entry(at);
        let shown = self.shown(entry);
        let path = self.staging.path(self.job.plan, at);
        let name = Path::new(path.file_name().unwrap_or_default());
        let parent = self.target.parent(&path)?;
        let to = self.job.links.content(&entry.target, to);
        let sha256 = (self.job.proof == Proof::Digest).then(|| digest_of_link(&to));
        symlinkat(&*to, parent, name).at("write", &shown)?;
        self.job
            .attributes
            .finish_link(parent, name, stat, entry.fingerprint.modified)
            .at("set the attributes of", &shown)?;
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).at("look at", &shown)?;
        Ok(Done {
            fingerprint: Fingerprint::of(&stat),
            sha256,
        })
    }

    fn rendered(&mut self, at: usize) -> Result<Done, Error> {
        use std::io::Write as _;
        let entry = self.entry(at);
        let origin = self.job.plan.origin(entry);
        let rendered = self.job.substitute.render(&origin)?;
        if entry.rendered.as_deref() != Some(&rendered.digest) {
            return Err(Error::Changed(origin));
        }
        let mut target = self.create(at)?;
        target
            .write_all(rendered.text.as_bytes())
            .at("write", &self.shown(entry))?;
        self.job.engine.progress().add(rendered.text.len() as u64);
        self.finish(entry, &target, None, Some(hex(&rendered.digest)))
    }

    /// What was fetched lies in the same file system, and gets another name: under the first one, a next run finds it should this one
    /// fail. Content that two entries are of is copied, so that they stay two.
    fn fetched(&mut self, at: usize, part: &Path, sha256: &str) -> Result<Done, Error> {
        let entry = self.entry(at);
        let shown = self.shown(entry);
        let base = self.staging.base;
        let users = self
            .job
            .plan
            .sources
            .iter()
            .filter(|source| source.part.as_deref() == Some(part));
        // A volume that is mounted below the destination has files of its own.
        let named = if users.count() > 1 {
            None
        } else {
            self.name_part(at, part, &shown)?
        };
        let file = if let Some(named) = named {
            named
        } else {
            let source = openat(
                base,
                part,
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            );
            let (source, target) = (File::from(source.at("read", &shown)?), self.create(at)?);
            let size = entry.fingerprint.size;
            let copied = self.job.engine.copy(&source, size, &target, &mut self.scratch);
            copied.map_err(|failed| side(failed, part, &shown))?;
            target
        };
        // It was created for nobody else to read.
        let mode = self.job.attributes.masked(u32::from(entry.mode));
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).at("set the mode of", &shown)?;
        self.job.engine.progress().add(entry.size());
        self.finish(entry, &file, None, Some(sha256.to_owned()))
    }

    /// `None` when it lies on another volume.
    fn name_part(&mut self, at: usize, part: &Path, shown: &Path) -> Result<Option<File>, Error> {
        let path = self.staging.path(self.job.plan, at);
        let name = path.file_name().unwrap_or_default();
        let parent = self.target.parent(&path)?;
        match linkat(self.staging.base, part, parent, name, AtFlags::empty()) {
            Err(Errno::XDEV) => return Ok(None),
            // Where the file system has no hard links.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NOSYS) => {
                renameat(self.staging.base, part, parent, name).at("write", shown)?;
            }
            other => other.at("write", shown)?,
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let moved = openat(parent, name, flags, Mode::empty()).at("write", shown)?;
        Ok(Some(File::from(moved)))
    }

    /// Makes the `at`-th entry another name of the file that is staged as the `of`-th; where that cannot be, a copy of it.
    pub(super) fn link(&mut self, of: usize, at: usize) -> Result<Done, Error> {
        let (job, staging) = (self.job, self.staging);
        let (from, to) = (staging.path(job.plan, of), staging.path(job.plan, at));
        let (entry, first) = (self.entry(at), staging.done[of].as_ref());
        let shown = self.shown(entry);
        let mut cursor = staging.base.cursor();
        let (from_dir, from_name) = (cursor.parent(&from)?, from.file_name().unwrap_or_default());
        let to_name = to.file_name().unwrap_or_default();
        match linkat(from_dir, from_name, self.target.parent(&to)?, to_name, AtFlags::empty()) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NOSYS | Errno::XDEV) => {}
            Err(e) => return Err(e).at("link", &shown),
            Ok(()) => return first.cloned().ok_or_else(|| Error::Changed(job.plan.origin(entry))),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = File::from(openat(from_dir, from_name, flags, Mode::empty()).at("read", &shown)?);
        let stat = fstat(&source).at("look at", &shown)?;
        let target = self.create(at)?;
        let copied = job
            .engine
            .copy(&source, stat.st_size.unsigned_abs(), &target, &mut self.scratch);
        copied.map_err(|failed| side(failed, &from, &shown))?;
        let sha256 = first.and_then(|done| done.sha256.clone());
        self.finish(entry, &target, Some((&source, &stat)), sha256)
    }

    fn zipped(&mut self, at: usize, zip: &archive::zip::Zip, label: &str) -> Result<Done, Error> {
        let entry = self.entry(at);
        let mut scratch = self.unzip.take().unwrap_or_default();
        let result = self.unzip(at, entry, zip, label, &mut scratch);
        self.unzip = Some(scratch);
        result
    }

    fn unzip(
        &mut self,
        at: usize,
        entry: &'w Entry,
        zip: &archive::zip::Zip,
        label: &str,
        scratch: &mut archive::zip::Scratch,
    ) -> Result<Done, Error> {
        if entry.kind == Kind::Link {
            let mut to = Vec::new();
            zip.extract(entry.number, scratch, |bytes| {
                to.extend_from_slice(bytes);
                Ok::<(), Refused>(())
            })
            .map_err(|why| archive::refused(label, &why))?;
            return self.make_link(at, &to, None);
        }
        let target = self.create(at)?;
        let shown = self.shown(entry);
        let mut sink = Sink::new(&target, &shown, self.job);
        zip.extract(entry.number, scratch, |bytes| sink.write(bytes))
            .map_err(|why| why.explain(label))?;
        let sha256 = sink.finish()?;
        self.finish(entry, &target, None, sha256)
    }

    /// One file that is packed by itself.
    fn unpacked(&mut self, at: usize, file: &File, packing: Packing, label: &str) -> Result<Done, Error> {
        let refuse = |why: Unpacking| why.explain(label);
        let entry = self.entry(at);
        let mut content = archive::decoder(file, packing).map_err(|e| refuse(Refused::from(e).into()))?;
        let target = self.create(at)?;
        let shown = self.shown(entry);
        let mut sink = Sink::new(&target, &shown, self.job);
        let mut buffer = vec![0; crate::content::BUFFER];
        pour(&mut content, &mut buffer, &mut sink).map_err(refuse)?;
        if sink.at != entry.fingerprint.size {
            return Err(Error::Changed(PathBuf::from(label)));
        }
        let sha256 = sink.finish()?;
        self.finish(entry, &target, None, sha256)
    }

    /// Stages the wanted members of a tar, by their numbers.
    pub(super) fn stage_tar(
        &mut self,
        label: &str,
        file: &File,
        packing: Packing,
        wanted: &HashMap<u32, usize>,
    ) -> Result<Vec<(usize, Done)>, Error> {
        let job = self.job;
        let mut done = Vec::with_capacity(wanted.len());
        let mut buffer = vec![0; crate::content::BUFFER];
        let tar = archive::decoder(file, packing).map_err(|e| archive::refused(label, &e.into()))?;
        archive::tar::walk(tar, job.leniency, |number, member, content| {
            let Some(&at) = wanted.get(&number) else { return Ok(()) };
            let entry = self.entry(at);
            if let MemberKind::Link(to) = &member.kind {
                done.push((at, self.make_link(at, to, None)?));
                return Ok(());
            }
            // Listed before, and the file may have changed since.
            if member.size != entry.fingerprint.size {
                return Err(Unpacking::Failed(Error::Changed(PathBuf::from(label))));
            }
            let target = self.create(at)?;
            let shown = self.shown(entry);
            let mut sink = Sink::new(&target, &shown, self.job);
            sink.sparse = member.sparse;
            pour(content, &mut buffer, &mut sink)?;
            let sha256 = sink.finish()?;
            done.push((at, self.finish(entry, &target, None, sha256)?));
            Ok::<(), Unpacking>(())
        })
        .map_err(|why| why.explain(label))?;
        Ok(done)
    }
}

/// Where the bytes of a member go.
struct Sink<'s> {
    target: &'s File,
    shown: &'s Path,
    job: &'s Job<'s>,
    hasher: Option<Hasher>,
    /// Zeros become holes.
    sparse: bool,
    /// Bytes that have come.
    at: u64,
}

impl<'s> Sink<'s> {
    fn new(target: &'s File, shown: &'s Path, job: &'s Job<'s>) -> Self {
        Self {
            target,
            shown,
            job,
            hasher: (job.proof == Proof::Digest).then(Hasher::sha256),
            sparse: false,
            at: 0,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Unpacking> {
        use std::io::Write as _;
        if is_stopping() {
            return Err(Error::Stopped.into());
        }
        if !self.sparse {
            self.target.write_all(bytes).at("write", self.shown)?;
        } else if bytes.iter().any(|&byte| byte != 0) {
            self.target.write_all_at(bytes, self.at).at("write", self.shown)?;
        }
        self.at += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.job.engine.progress().add(bytes.len() as u64);
        Ok(())
    }

    /// The digest, if one is wanted; a hole at the end is made.
    fn finish(self) -> Result<Option<String>, Error> {
        if self.sparse {
            self.target.set_len(self.at).at("write", self.shown)?;
        }
        Ok(self.hasher.map(|hasher| hex(&hasher.finish())))
    }
}

fn pour(content: &mut dyn Read, buffer: &mut [u8], sink: &mut Sink<'_>) -> Result<(), Unpacking> {
    loop {
        match content.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => sink.write(&buffer[..read])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Refused::Damaged(e.to_string()).into()),
        }
    }
}

fn side(failed: Failed, origin: &Path, shown: &Path) -> Error {
    let (action, path, error) = match failed {
        Failed::Reading(error) => ("read", origin, error),
        Failed::Writing(error) => ("write", shown, error),
        Failed::Stopped => return Error::Stopped,
    };
    Error::Io {
        action,
        path: path.to_owned(),
        error: error.into(),
    }
}
