//! An archive's members as entries.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Opening;
use crate::archive::{
    self, Account, Archive, Format, Member, MemberKind, Packing, Refused, Unpack, Unpacking, unpacked_name,
};
use crate::ask::Step;
use crate::content::fingerprint::Fingerprint;
use crate::error::{Error, SOURCE, UNSAFE};
use crate::plan::leads_outside;
use crate::plan::names::is_ours;
use crate::plan::{Builder, Content, Entry, Kind, Links, Opened, Share};
use crate::plan::{order, safe_path};
use crate::signals::is_stopping;
use crate::source::glob::Glob;

/// What is to be unpacked.
pub(super) struct Packed<'p> {
    pub(super) file: File,
    pub(super) label: &'p str,
    /// Where its content goes.
    pub(super) prefix: &'p Path,
    /// What it is called itself.
    pub(super) name: &'p Path,
    pub(super) identity: String,
    /// The name of the download that it lies in.
    pub(super) part: Option<PathBuf>,
}

/// Collects the members of one archive.
struct Listing<'l> {
    opening: &'l Opening<'l>,
    label: &'l str,
    prefix: &'l Path,
    account: Account,
    entries: Vec<Entry>,
    /// Hard links, by index, and the names that they lead to.
    hard: Vec<(usize, PathBuf)>,
    /// Of the patterns that pick members, those that have matched.
    matched: Vec<bool>,
}

impl Opening<'_> {
    /// Lists the archive, and pushes what goes below its prefix.
    pub(super) fn unpack(&self, packed: Packed<'_>, builder: &mut Builder) -> Result<(), Error> {
        let Packed {
            file,
            label,
            prefix,
            name,
            identity,
            part,
        } = packed;
        let refuse = |why: &Refused| archive::refused(label, why);
        let format = match self.step.unpack {
            Unpack::As(format) => format,
            Unpack::Auto | Unpack::Off => Format::detect(&file, name).map_err(|e| refuse(&e.into()))?.ok_or_else(|| {
                Error::new(
                    UNSAFE,
                    format!("{label} is no archive that is known here"),
                    "look at its first bytes: a server may have sent a page instead; zip and tar are unpacked, and what gzip, zstd, xz and bzip2 pack",
                )
            })?,
        };
        let packed = file.metadata().map_err(|e| refuse(&e.into()))?.len();
        tracing::debug!(archive = label, format = format.name(), "listing");
        let mut listing = Listing {
            opening: self,
            label,
            prefix,
            account: Account::new(self.step.limits, packed),
            entries: Vec::new(),
            hard: Vec::new(),
            matched: vec![false; self.step.members.len()],
        };
        let content = listing
            .read(file, format, name)
            .map_err(|failed| failed.explain(label))?;
        listing.refuse_unmatched()?;
        if listing.entries.is_empty() {
            tracing::warn!(archive = label, "nothing of it is to be unpacked");
        }
        if matches!(format, Format::Tar(_)) {
            listing.let_last_win()?;
        }
        listing.resolve_hard_links()?;
        builder.source(Opened {
            label: label.into(),
            prefix: prefix.to_owned(),
            content: Content::Archive(content),
            identity: Some(identity.into()),
            part,
        });
        for entry in listing.entries {
            builder.push(entry)?;
        }
        Ok(())
    }
}

/// Fails on the link `path` of a packed tree when it would lead to where it may not, at its `target`.
pub(super) fn refuse_link(step: &Step, label: &str, target: &Path, path: &Path, to: &[u8]) -> Result<(), Error> {
    // A tree's links can be followed, and those of a packed one lead nowhere yet.
    let asked = step.links.filter(|&links| links != Links::Follow);
    let links = asked.unwrap_or(Links::Refuse);
    let refuse = |_| leads_outside(&format!("{label}!{}", path.display()), to);
    links.check(target, to).map_err(refuse)
}

impl Listing<'_> {
    fn read(&mut self, file: File, format: Format, name: &Path) -> Result<Archive, Unpacking> {
        let leniency = self.opening.step.leniency;
        match format {
            Format::Zip => {
                archive::zip::Zip::list(file, leniency, |number, member| self.add(number, member)).map(Archive::Zip)
            }
            Format::Tar(packing) => {
                let tar = archive::decoder(&file, packing).map_err(Refused::Io)?;
                archive::tar::walk(tar, leniency, |number, member, _| self.add(number, member))?;
                Ok(Archive::Tar { file, packing })
            }
            Format::File(packing) => {
                if self.opening.step.strip > 0 {
                    let why = "--strip-components would leave nothing of the one file that is in it";
                    return Err(Refused::Unsupported(why.into()).into());
                }
                let unpacked = unpacked_name(name);
                let path = safe_path::relative(unpacked.as_os_str().as_bytes())
                    .ok()
                    .filter(|path| path.components().count() == 1)
                    .ok_or_else(|| Refused::Unsafe(format!("{name:?} is no name for the one file that is in it")))?;
                let size = self.measure(&file, packing)?;
                self.enter(1, Member::file(path, size))?;
                Ok(Archive::File { file, packing })
            }
        }
    }

    /// How large the one file is: it has to be unpacked to know.
    fn measure(&mut self, file: &File, packing: Packing) -> Result<u64, Unpacking> {
        // To most decoders, no stream at all is an empty one.
        if file.metadata().map_err(Refused::Io)?.len() == 0 {
            return Err(Refused::Damaged("it is empty".into()).into());
        }
        let mut content = archive::decoder(file, packing).map_err(Refused::Io)?;
        let mut buffer = vec![0; crate::content::BUFFER];
        let mut size = 0;
        loop {
            if is_stopping() {
                return Err(Unpacking::Failed(Error::Stopped));
            }
            match content.read(&mut buffer) {
                Ok(0) => return Ok(size),
                Ok(read) => {
                    size += read as u64;
                    self.account.add(self.label, read as u64).map_err(Unpacking::Failed)?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Refused::Damaged(e.to_string()).into()),
            }
        }
    }

    fn add(&mut self, number: u32, member: Member) -> Result<(), Unpacking> {
        if self.entries.len() > self.opening.step.max_entries as usize {
            return Err(Unpacking::Failed(Error::new(
                crate::error::NO_SPACE,
                format!("{} has more than {} members", self.label, self.opening.step.max_entries),
                "raise --max-entries if it is meant to have so many",
            )));
        }
        self.account.add(self.label, member.size).map_err(Unpacking::Failed)?;
        self.enter(number, member)
    }

    /// Takes up a member that has been counted.
    fn enter(&mut self, number: u32, member: Member) -> Result<(), Unpacking> {
        let Some(path) = self.place(&member.path) else {
            return Ok(());
        };
        let matches = |glob: &Glob| path.ancestors().any(|above| glob.matches(above));
        let step = self.opening.step;
        if step.exclude.iter().any(matches) || !self.is_picked(matches) {
            return Ok(());
        }
        if path.iter().any(is_ours) {
            tracing::info!(archive = self.label, member = %path.display(), "left out: it is init-copy's own, of a run that copied to there");
            return Ok(());
        }
        let target = self.prefix.join(&path);
        let (kind, share) = match member.kind {
            MemberKind::Dir => (Kind::Dir, Share::Alone),
            MemberKind::File => (Kind::File, Share::Alone),
            MemberKind::Link(to) => {
                // Of where it goes: with leading names dropped, fewer steps lead outside.
                refuse_link(step, self.label, &target, &path, &to).map_err(Unpacking::Failed)?;
                (Kind::Link, Share::Alone)
            }
            MemberKind::Unfit(why) => return Err(Refused::Unsafe(why).into()),
            MemberKind::Hard(to) => {
                let to = self
                    .place(&to)
                    .ok_or_else(|| Refused::Unsafe(format!("the hard link {:?} leads outside", member.path)))?;
                self.hard.push((self.entries.len(), self.prefix.join(to)));
                (Kind::File, Share::First)
            }
        };
        self.entries.push(Entry {
            target: target.into(),
            source: 0,
            number,
            kind,
            mode: member.mode as u16,
            share,
            fingerprint: Fingerprint::within(member.size, member.modified),
            rendered: None,
        });
        Ok(())
    }

    /// Is a member wanted that `matches` these patterns?
    fn is_picked(&mut self, matches: impl Fn(&Glob) -> bool) -> bool {
        let members = &self.opening.step.members;
        let mut picked = members.is_empty();
        for (glob, matched) in members.iter().zip(&mut self.matched) {
            let is_match = matches(glob);
            *matched |= is_match;
            picked |= is_match;
        }
        picked
    }

    /// Whoever picks members wants each of them.
    fn refuse_unmatched(&self) -> Result<(), Error> {
        let mut patterns = self.opening.step.members.iter().zip(&self.matched);
        match patterns.find(|(_, matched)| !**matched) {
            None => Ok(()),
            Some((glob, _)) => Err(Error::new(
                SOURCE,
                format!("no member of {} matches {:?}", self.label, glob.as_str()),
                "list its names, and mind that --strip-components has taken its part of them",
            )),
        }
    }

    /// Where a member goes below the prefix; `None` when nothing of its name is left.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        // oras packs a directory under its own title.
        let path = if self.prefix.as_os_str().is_empty() {
            path
        } else {
            path.strip_prefix(self.prefix).unwrap_or(path)
        };
        let left: PathBuf = path.components().skip(self.opening.step.strip as usize).collect();
        (!left.as_os_str().is_empty()).then_some(left)
    }

    /// A tar that was appended to has some members twice, and the last one counts; in a zip that is a trick on whoever lists it.
    fn let_last_win(&mut self) -> Result<(), Error> {
        let mut sorted: Vec<usize> = (0..self.entries.len()).collect();
        sorted.sort_by(|&a, &b| order(&self.entries[a].target, &self.entries[b].target));
        let replaced: Vec<usize> = sorted
            .windows(2)
            .filter(|pair| self.entries[pair[0]].target == self.entries[pair[1]].target)
            .map(|pair| pair[0])
            .collect();
        let Some(&first) = replaced.first() else { return Ok(()) };
        let first = self.entries[first].target.display().to_string();
        // The earlier content lives on under the other name.
        let is_linked = |target: &Path| self.hard.iter().any(|(_, to)| to == target);
        if let Some(&linked) = replaced.iter().find(|&&index| is_linked(&self.entries[index].target)) {
            let why = Refused::Unsupported(format!(
                "the member {} comes twice, and another one is a hard link to it",
                self.entries[linked].target.display()
            ));
            return Err(archive::refused(self.label, &why));
        }
        tracing::warn!(
            archive = self.label,
            members = replaced.len(),
            first,
            "members come more than once: the last one of each is taken"
        );
        let drop: HashSet<usize> = replaced.into_iter().collect();
        let mut kept = 0;
        let mut moved = vec![usize::MAX; self.entries.len()];
        for (index, at) in moved.iter_mut().enumerate() {
            if !drop.contains(&index) {
                *at = kept;
                kept += 1;
            }
        }
        let mut index = 0;
        self.entries.retain(|_| {
            index += 1;
            !drop.contains(&(index - 1))
        });
        self.hard.retain_mut(|(index, _)| {
            *index = moved[*index];
            *index != usize::MAX
        });
        Ok(())
    }

    /// A hard link is the file that it leads to, which comes before it.
    fn resolve_hard_links(&mut self) -> Result<(), Error> {
        if self.hard.is_empty() {
            return Ok(());
        }
        let files: HashMap<&Path, usize> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.kind == Kind::File)
            .map(|(index, entry)| (&*entry.target, index))
            .collect();
        let mut resolved = Vec::new();
        for (index, to) in &self.hard {
            match files.get(to.as_path()) {
                Some(&of) if of < *index => resolved.push((*index, of)),
                _ => {
                    let why = Refused::Unsafe(format!(
                        "the hard link {} leads to {}, which is no earlier file",
                        self.entries[*index].target.display(),
                        to.display()
                    ));
                    return Err(archive::refused(self.label, &why));
                }
            }
        }
        for (index, of) in resolved {
            let (number, mode, fingerprint) = {
                let file = &mut self.entries[of];
                file.share = Share::First;
                (file.number, file.mode, file.fingerprint)
            };
            let entry = &mut self.entries[index];
            (entry.number, entry.mode, entry.fingerprint) = (number, mode, fingerprint);
        }
        Ok(())
    }
}
