//! A path out of an image: its layers are fetched and merged, and what is below the path becomes entries.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::Opening;
use super::unpack::refuse_link;
use super::web::open_part;
use crate::archive::{self, Account, Archive, Format, Packing, Refused, Unpacking};
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::Root;
use crate::error::{Error, NO_SPACE, SOURCE, UNSAFE};
use crate::fetch::forget;
use crate::oci::{Artifact, ImagePath, Node, NodeKind, RootFs};
use crate::plan::names::is_ours;
use crate::plan::{Builder, Content, Entry, Kind, Opened, Share};

/// One that has been fetched.
struct Layer {
    file: File,
    packing: Packing,
}

/// What it is called, and what identifies it.
#[derive(Clone, Copy)]
pub(super) struct Labelled<'l> {
    pub(super) label: &'l str,
    pub(super) identity: &'l str,
}

impl Opening<'_> {
    /// Pushes what `wanted` is in the image.
    pub(super) fn image(
        &self,
        image: &Artifact<'_>,
        wanted: &ImagePath,
        named: Labelled<'_>,
        base: &Root,
        builder: &mut Builder,
    ) -> Result<(), Error> {
        let fetch = |layer| image.fetch(layer, base, self.progress).map(|fetched| fetched.part);
        let parts = image.layers.iter().map(fetch).collect::<Result<Vec<_>, _>>()?;
        self.out_of(&parts, wanted, named, base, builder).inspect_err(|error| {
            // Their digests are right, so that no run can use them; but with another path or limit, one can.
            if matches!(error, Error::Other(failure) if failure.code == UNSAFE) {
                parts.iter().for_each(|part| forget(base, part));
            }
        })
    }

    fn out_of(
        &self,
        parts: &[PathBuf],
        wanted: &ImagePath,
        named: Labelled<'_>,
        base: &Root,
        builder: &mut Builder,
    ) -> Result<(), Error> {
        let label = named.label;
        let refuse = |why: &Refused| archive::refused(label, why);
        let mut all = RootFs::default();
        let mut layers = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let layer = open_layer(label, base, part)?;
            self.merge(label, at, &layer, &mut all)
                .map_err(|failed| failed.explain(label))?;
            layers.push(layer);
        }
        let found = all.find(wanted).map_err(|why| refuse(&why))?.ok_or_else(|| {
            Error::new(
                SOURCE,
                format!("{label} has no {wanted}"),
                "name the path as the image has it, and mind the platform",
            )
        })?;
        let place = Self::place_of(label, wanted, all.get(&found))?;
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (path, node) in all.below(&found) {
            let below = path.strip_prefix(&found).unwrap_or(path);
            if let Some(entry) = self.node(label, &place, below, node)? {
                entries.push((node.layer, entry));
            }
        }
        if entries.is_empty() {
            tracing::warn!(image = label, path = %wanted, "nothing of it is to be copied");
        }
        for (at, layer) in layers.into_iter().enumerate() {
            let mut own = entries.extract_if(.., |(layer, _)| *layer == at).peekable();
            if own.peek().is_none() {
                forget(base, &parts[at]);
                continue;
            }
            builder.source(Opened {
                label: label.into(),
                prefix: place.clone(),
                content: Content::Archive(Archive::Tar {
                    file: layer.file,
                    packing: layer.packing,
                }),
                identity: Some(named.identity.into()),
                part: Some(parts[at].clone()),
            });
            own.try_for_each(|(_, entry)| builder.push(entry))?;
        }
        Ok(())
    }

    fn merge(&self, label: &str, at: usize, layer: &Layer, all: &mut RootFs) -> Result<(), Unpacking> {
        let packed = layer.file.metadata().map_err(Refused::Io)?.len();
        let mut account = Account::new(self.step.limits, packed);
        let tar = archive::decoder(&layer.file, layer.packing).map_err(Refused::Io)?;
        archive::tar::walk(tar, self.step.leniency, |number, member, _| {
            account.add(label, member.size).map_err(Unpacking::Failed)?;
            all.apply(at, number, member)?;
            if all.members() > self.step.max_entries as usize {
                let cause = format!("{label} has more than {} files", self.step.max_entries);
                let remedy = "raise --max-entries, and the memory limit by 500 bytes for each";
                return Err(Unpacking::Failed(Error::new(NO_SPACE, cause, remedy)));
            }
            Ok(())
        })
    }

    /// Where it goes, below the destination: a directory's contents, or under the name that it was given.
    fn place_of(label: &str, wanted: &ImagePath, node: Option<&Node>) -> Result<PathBuf, Error> {
        let is_dir = node.is_none_or(|node| node.kind == NodeKind::Dir);
        if wanted.contents && !is_dir {
            return Err(Error::new(
                SOURCE,
                format!("{label} has no directory {wanted}"),
                "without a slash at its end, a file is copied",
            ));
        }
        Ok(match wanted.contents {
            true => PathBuf::new(),
            false => wanted.file_name().into(),
        })
    }

    /// `None` for what is left out; `below` is empty for the wanted path itself.
    fn node(&self, label: &str, place: &Path, below: &Path, node: &Node) -> Result<Option<Entry>, Error> {
        let is_excluded = below
            .ancestors()
            .any(|above| self.step.exclude.iter().any(|glob| glob.matches(above)));
        let target = match below.as_os_str().is_empty() {
            true => place.to_owned(),
            false => place.join(below),
        };
        if is_excluded || below.iter().any(is_ours) || target.as_os_str().is_empty() {
            return Ok(None);
        }
        let kind = match &node.kind {
            NodeKind::Dir => Kind::Dir,
            NodeKind::File => Kind::File,
            NodeKind::Link(to) => {
                refuse_link(self.step, label, &target, below, to)?;
                Kind::Link
            }
            NodeKind::Unfit(why) => return Err(archive::refused(label, &Refused::Unsupported(why.to_string()))),
        };
        Ok(Some(Entry {
            target: target.into(),
            source: 0,
            number: node.number,
            kind,
            mode: node.mode as u16,
            share: if node.shared { Share::First } else { Share::Alone },
            fingerprint: Fingerprint::within(node.size, node.modified),
            rendered: None,
        }))
    }
}

fn open_layer(label: &str, base: &Root, part: &Path) -> Result<Layer, Error> {
    let file = open_part(base, part)?;
    let format = Format::detect(&file, Path::new("layer.tar")).map_err(|e| archive::refused(label, &e.into()))?;
    match format {
        Some(Format::Tar(packing)) => Ok(Layer { file, packing }),
        _ => {
            let why = Refused::Unsupported("one of its layers is no tar".into());
            Err(archive::refused(label, &why))
        }
    }
}
