//! What DEST means, given the sources.

use std::path::{Path, PathBuf};

use crate::archive::Unpack;
use crate::ask::Step;
use crate::error::{At as _, Error};
use crate::open::Named;

/// What a destination is called, and what goes there.
pub(crate) struct Target {
    /// DEST as a directory.
    pub(crate) dir: PathBuf,
    /// The name of the one file, when DEST names a file.
    pub(crate) rename: Option<PathBuf>,
    /// A single directory becomes DEST itself.
    pub(crate) contents: bool,
}

impl Target {
    /// See the help text for what DEST means.
    pub(crate) fn of(step: &Step, named: &[Named], dest: &Path) -> Self {
        let slash = dest.as_os_str().as_encoded_bytes().ends_with(b"/");
        let into = |dir: &Path| Self {
            dir: dir.to_owned(),
            rename: None,
            contents: false,
        };
        // To cp, a slash behind a DEST that is not there says nothing when a directory is copied.
        let slash = slash && !(step.as_cp && matches!(named, [Named::Path(path)] if step.is_tree(path)));
        let is_leaf = matches!(named, [Named::Path(path)] if step.exact && !step.is_tree(path));
        if !is_leaf && (named.len() > 1 || slash || dest.is_dir() || step.unpack != Unpack::Off) {
            return into(dest);
        }
        match named {
            [Named::Path(path)] if step.is_tree(path) => Self {
                contents: step.as_cp,
                ..into(dest)
            },
            [Named::Oci(_)] => into(dest),
            _ => Self {
                dir: pod_contract::files::publish::parent(dest).to_owned(),
                rename: dest.file_name().map(PathBuf::from),
                contents: false,
            },
        }
    }
}

/// A destination inside a source would be copied into itself.
pub(crate) fn refuse_into_itself(step: &Step, named: &[Named], dest: &Path) -> Result<(), Error> {
    for source in named {
        let Named::Path(path) = source else { continue };
        if !step.is_tree(path) {
            continue;
        }
        let source_dir = std::fs::canonicalize(path).at("read", path)?;
        let nearest = dest
            .ancestors()
            .find_map(|p| std::fs::canonicalize(if p.as_os_str().is_empty() { Path::new(".") } else { p }).ok());
        if let Some(dest) = nearest.filter(|dest| dest.starts_with(&source_dir)) {
            return Err(Error::IntoItself { source_dir, dest });
        }
    }
    Ok(())
}
