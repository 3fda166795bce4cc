//! Which files there are: globs, and one look at every directory that they name.

use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use pod_contract::config::Setting;

use crate::identity::Inode;

/// `**` looks this deep below its directory, levels.
const MAX_DEPTH: usize = 16;

/// A valid absolute glob.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Glob);

impl Setting for Pattern {
    const FORM: &'static str = "an absolute path with wildcards, such as /logs/*.log";

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("it does not start with a slash".into());
        }
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        glob.map(Self).map_err(|e| e.kind().to_string())
    }
}

/// What to read and what to leave out.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    include: GlobSet,
    exclude: GlobSet,
    bases: Vec<Base>,
}

/// A directory to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) dir: PathBuf,
    /// Levels below it; 0 for the directory alone.
    pub(crate) depth: usize,
}

/// One file in a directory that was looked into, whether a pattern matches it or not: a rotated file is found again by its inode.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) inode: Inode,
    pub(crate) kind: Kind,
}

/// How a file's name relates to the patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Matched,
    /// Its name is a name that matches and an ending, such as `app.log.1`: what rotation makes of a file.
    Rotated,
    Other,
}

/// A compressed copy holds nothing new.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "lz4", "zip"];

impl Patterns {
    pub(crate) fn new(include: Vec<Pattern>, exclude: Vec<Pattern>) -> Self {
        let mut bases: Vec<Base> = Vec::new();
        for pattern in &include {
            let base = base_of(pattern.0.glob());
            match bases.iter_mut().find(|known| known.dir == base.dir) {
                Some(known) => known.depth = known.depth.max(base.depth),
                None => bases.push(base),
            }
        }
        Self {
            include: set(include),
            exclude: set(exclude),
            bases,
        }
    }

    pub(crate) fn bases(&self) -> &[Base] {
        &self.bases
    }

    fn matches(&self, path: &Path) -> bool {
        self.include.is_match(path) && !self.exclude.is_match(path)
    }

    fn kind(&self, path: &Path) -> Kind {
        if self.matches(path) {
            return Kind::Matched;
        }
        let compressed = path
            .extension()
            .is_some_and(|ending| COMPRESSED.iter().any(|known| ending == *known));
        let text = path.to_str().unwrap_or_default();
        let name_at = text.rfind('/').map_or(0, |slash| slash + 1);
        let mut shorter = text[name_at..]
            .rmatch_indices(['.', '-', '_'])
            .map(|(at, _)| &text[..name_at + at]);
        if !compressed && shorter.any(|prefix| self.matches(Path::new(prefix))) {
            Kind::Rotated
        } else {
            Kind::Other
        }
    }

    /// Every regular file below the bases, links to files followed, sorted by path. A directory that is not there yet has no files.
    pub(crate) fn scan(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for base in &self.bases {
            self.scan_dir(&base.dir, base.depth, &mut found);
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        found
    }

    fn scan_dir(&self, dir: &Path, depth: usize, found: &mut Vec<Found>) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::debug!(dir = %dir.display(), %error, "cannot read the directory");
                return;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth > 0 => self.scan_dir(&path, depth - 1, found),
                Ok(kind) if kind.is_file() || kind.is_symlink() => {
                    if let Some(inode) = Inode::of_file_at(&path) {
                        let kind = self.kind(&path);
                        found.push(Found { path, inode, kind });
                    }
                }
                _ => {}
            }
        }
    }
}

fn set(patterns: Vec<Pattern>) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(pattern.0);
    }
    builder.build().expect("each pattern was built already")
}

/// The longest directory without a wildcard, and how deep the rest of the pattern goes.
fn base_of(pattern: &str) -> Base {
    let mut dir = PathBuf::new();
    let mut rest = Path::new(pattern).components().peekable();
    let is_wild = |c: &Component<'_>| c.as_os_str().as_encoded_bytes().iter().any(|b| b"*?[{\\".contains(b));
    while let Some(component) = rest.next_if(|c| !is_wild(c)) {
        dir.push(component);
    }
    let rest: Vec<_> = rest.collect();
    if rest.is_empty() {
        dir.pop();
    }
    let any = rest.iter().any(|c| c.as_os_str() == "**");
    Base {
        dir,
        depth: if any { MAX_DEPTH } else { rest.len().saturating_sub(1) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
        let parse = |texts: &[&str]| texts.iter().map(|t| Pattern::parse(t).unwrap()).collect();
        Patterns::new(parse(include), parse(exclude))
    }

    #[test]
    fn the_base_is_the_part_without_wildcards() {
        for (pattern, dir, depth) in [
            ("/logs/*.log", "/logs", 0),
            ("/logs/app.log", "/logs", 0),
            ("/logs/*/x/*.log", "/logs", 2),
            ("/logs/**/*.log", "/logs", MAX_DEPTH),
            ("/*.log", "/", 0),
        ] {
            assert_eq!(base_of(pattern), Base { dir: dir.into(), depth }, "{pattern}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in ["logs/*.log", "", "/logs/[", "/logs/{a"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_rotation_makes_of_a_name_is_recognised() {
        let patterns = patterns(&["/logs/*.log"], &["/logs/skip*"]);
        for (name, kind) in [
            ("app.log", Kind::Matched),
            ("app.log.1", Kind::Rotated),
            ("app.log-20261121", Kind::Rotated),
            ("app.log.2026-11-21.3", Kind::Rotated),
            ("app.log.1.gz", Kind::Other),
            ("app.txt", Kind::Other),
            ("skip.log.1", Kind::Other),
            ("deep/app.log", Kind::Other),
        ] {
            assert_eq!(patterns.kind(&Path::new("/logs").join(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_scan_finds_all_files_and_says_which_match() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        for name in ["a.log", "b.log", "a.log.1", "skip.log"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("deep")).unwrap();
        fs::write(dir.path().join("deep/c.log"), "").unwrap();
        let matched = |patterns: Patterns| -> Vec<String> {
            let found = patterns.scan().into_iter().filter(|f| f.kind == Kind::Matched);
            found
                .map(|f| f.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        let flat = patterns(&[&format!("{root}/*.log")], &[&format!("{root}/skip*")]);
        assert_eq!(flat.scan().len(), 4, "siblings are seen too");
        assert_eq!(matched(flat), ["a.log", "b.log"]);
        assert_eq!(matched(patterns(&[&format!("{root}/**/*.log")], &[])).len(), 4);
        assert!(patterns(&["/nonexistent/*.log"], &[]).scan().is_empty());
    }
}
