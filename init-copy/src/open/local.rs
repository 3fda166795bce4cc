//! A path: a file, a tree, or an archive to unpack.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use super::Opening;
use super::unpack::Packed;
use crate::archive::Unpack;
use crate::content::checksum::{self, Expected};
use crate::content::fingerprint::Fingerprint;
use crate::error::{At as _, Error, SOURCE, UNSAFE};
use crate::plan::{Builder, Content, Opened};
use crate::source::Walk;

impl Opening<'_> {
    pub(super) fn local(&self, path: &Path, builder: &mut Builder) -> Result<(), Error> {
        let followed = fs::metadata(path);
        let meta = match (&followed, self.step.keep_links) {
            // `cp -a` copies a link as a link, wherever it leads.
            (_, true) if self.step.keep_links => fs::symlink_metadata(path),
            _ => followed,
        };
        let meta = meta.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Error::Missing(path.to_owned()),
            _ => Error::Io {
                action: "read",
                path: path.to_owned(),
                error,
            },
        })?;
        if self.step.unpack != Unpack::Off {
            if meta.is_dir() {
                return Err(Error::new(
                    UNSAFE,
                    format!(
                        "source {} is a directory, and there is nothing to unpack",
                        path.display()
                    ),
                    "name the archive, or leave out --unpack",
                ));
            }
            if !meta.is_file() && !meta.is_symlink() {
                return Err(Error::Special {
                    path: path.to_owned(),
                    kind: "no file",
                });
            }
            return self.local_archive(path, builder);
        }
        if self.expected.is_some() && meta.is_dir() {
            return Err(Error::new(
                SOURCE,
                format!("source {} is a directory, which has no digest", path.display()),
                "name the file that the digest is of",
            ));
        }
        let prefix = if meta.is_dir() {
            if contributes_contents(path, self.step.as_cp) || self.contents {
                PathBuf::new()
            } else {
                name_of(path)
            }
        } else {
            self.rename.map_or_else(|| name_of(path), Path::to_owned)
        };
        builder.source(Opened {
            label: path.display().to_string().into(),
            prefix: prefix.clone(),
            content: Content::Local(path.to_owned()),
            identity: None,
            part: None,
        });
        let mut walk = Walk::new(builder, self.step, path, &prefix);
        if meta.is_dir() {
            walk.tree()
        } else {
            walk.leaf(self.step.keep_links)
        }
    }

    fn local_archive(&self, path: &Path, builder: &mut Builder) -> Result<(), Error> {
        let file = File::open(path).at("read", path)?;
        let before = Fingerprint::of(&rustix::fs::fstat(&file).at("look at", path)?);
        let label = path.display().to_string();
        if self.keep(&label, &before.to_string(), builder)? {
            return Ok(());
        }
        if let Some(expected) = self.expected {
            verify(&file, path, expected)?;
        }
        let packed = Packed {
            file,
            label: &label,
            prefix: Path::new(""),
            name: Path::new(path.file_name().unwrap_or_default()),
            identity: before.to_string(),
            part: None,
        };
        self.unpack(packed, builder)
    }
}

/// Reads the file once and compares its digest.
fn verify(file: &File, path: &Path, expected: &Expected) -> Result<(), Error> {
    let found = checksum::digest(file, expected.hasher()).at("read", path)?;
    expected
        .verify(&found)
        .map_err(|why| checksum::mismatch(&path.display().to_string(), &why))
}

/// `SRC/`, and `SRC/.` as with `cp`, to which a mere slash says nothing.
fn contributes_contents(path: &Path, as_cp: bool) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    (!as_cp && text.ends_with(b"/")) || text.ends_with(b"/.") || text == b"."
}

/// The last name of a path; a source such as `..` or `/` has none and contributes its contents.
fn name_of(path: &Path) -> PathBuf {
    match path.components().next_back() {
        Some(Component::Normal(name)) => PathBuf::from(name),
        _ => PathBuf::new(),
    }
}
