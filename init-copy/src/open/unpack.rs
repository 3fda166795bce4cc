//! An archive's members as entries.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::Opening;
use crate::archive::{self, Account, Archive, Format, Member, MemberKind, Refused, Unpack};
use crate::content::fingerprint::Fingerprint;
use crate::error::{Error, UNSAFE};
use crate::plan::names::is_ours;
use crate::plan::safe_path;
use crate::plan::{Builder, Content, Entry, Kind, Opened, Share};
use crate::source::glob;

/// Collects the members of one archive.
struct Listing<'l> {
    opening: &'l Opening<'l>,
    label: &'l str,
    prefix: &'l Path,
    account: Account,
    entries: Vec<Entry>,
    /// Hard links, by index, and the names that they lead to.
    hard: Vec<(usize, PathBuf)>,
}

enum Failed {
    Refused(Refused),
    Error(Error),
}

impl From<Refused> for Failed {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl Opening<'_> {
    /// Lists the archive, and pushes what goes below `prefix`.
    pub(super) fn unpack(
        &self,
        file: File,
        label: &str,
        prefix: &Path,
        identity: String,
        part: Option<PathBuf>,
        builder: &mut Builder,
    ) -> Result<(), Error> {
        let refuse = |why: &Refused| archive::refused(label, why);
        let format = match self.step.unpack {
            Unpack::As(format) => format,
            Unpack::Auto | Unpack::Off => Format::detect(&file).map_err(|e| refuse(&e.into()))?.ok_or_else(|| {
                Error::new(
                    UNSAFE,
                    format!("{label} is no archive that is known here"),
                    "look at its first bytes: a server may have sent a page instead; zip, tar, tar.gz and tar.zst are unpacked",
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
        };
        let content = listing.read(file, format).map_err(|failed| match failed {
            Failed::Refused(why) => refuse(&why),
            Failed::Error(error) => error,
        })?;
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

impl Listing<'_> {
    fn read(&mut self, file: File, format: Format) -> Result<Archive, Failed> {
        if format == Format::Zip {
            return archive::zip::Zip::list(file, |number, member| self.add(number, member)).map(Archive::Zip);
        }
        let tar = archive::decoder(&file, format).map_err(Refused::Io)?;
        archive::tar::walk(tar, |number, member, _| self.add(number, member))?;
        Ok(Archive::Tar { file, format })
    }

    fn add(&mut self, number: u32, member: Member) -> Result<(), Failed> {
        if self.entries.len() > self.opening.step.max_entries as usize {
            return Err(Failed::Error(Error::new(
                crate::error::NO_SPACE,
                format!("{} has more than {} members", self.label, self.opening.step.max_entries),
                "raise --max-entries if it is meant to have so many",
            )));
        }
        self.account.add(self.label, member.size).map_err(Failed::Error)?;
        let Some(path) = self.place(&member.path) else {
            return Ok(());
        };
        if path
            .ancestors()
            .any(|above| glob::any(&self.opening.step.exclude, above))
        {
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
                // With leading names dropped, fewer steps lead outside.
                safe_path::link_stays(&path, &to)
                    .map_err(|why| Refused::Unsafe(format!("the link {:?} leads outside: {why}", member.path)))?;
                (Kind::Link, Share::Alone)
            }
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
