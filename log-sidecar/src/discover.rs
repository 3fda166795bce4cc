//! Which files there are: globs, and one look at every directory that they name.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use pod_contract::config::Setting;

use crate::checkpoint;
use crate::deliver::DEAD_LETTER;
use crate::identity::Inode;

/// `**` looks this deep below its directory, levels.
const MAX_DEPTH: usize = 16;

/// A valid absolute glob.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(String);

impl Setting for Pattern {
    const FORM: &'static str = "an absolute path with wildcards, such as /logs/*.log";

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("it does not start with a slash".into());
        }
        if text.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return Err("it has an empty part, a dot, or a slash at its end, so no path is ever like it".into());
        }
        fast_glob::validate(text).map_err(|e| e.to_string())?;
        Ok(Self(text.to_owned()))
    }
}

/// What to read and what to leave out.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    bases: Vec<Base>,
    /// Where our own files are; to read them would never end.
    state: Option<PathBuf>,
}

/// What a look at the directories found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Sorted by path.
    pub(crate) files: Vec<Found>,
    /// What could not be looked at. A directory that is not there yet is among them.
    pub(crate) failed: Vec<(PathBuf, io::Error)>,
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

/// What the state directory holds of ours, and the temporary files beside it.
const OWN_FILES: [&str; 2] = [checkpoint::NAME, DEAD_LETTER];

/// A compressed copy holds nothing new.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "lz4", "zip"];

impl Scan {
    /// Is the path below something that is there and could not be looked at?
    pub(crate) fn hides(&self, path: &Path) -> bool {
        self.failed
            .iter()
            .any(|(failed, error)| error.kind() != io::ErrorKind::NotFound && path.starts_with(failed))
    }
}

impl Patterns {
    pub(crate) fn new(include: Vec<Pattern>, exclude: Vec<Pattern>, state: Option<PathBuf>) -> Self {
        let mut bases: Vec<Base> = Vec::new();
        for pattern in &include {
            let base = base_of(&pattern.0);
            match bases.iter_mut().find(|known| known.dir == base.dir) {
                Some(known) => known.depth = known.depth.max(base.depth),
                None => bases.push(base),
            }
        }
        Self {
            include,
            exclude,
            bases,
            state,
        }
    }

    pub(crate) fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// Is this a file to read?
    pub(crate) fn matches(&self, path: &Path) -> bool {
        any(&self.include, path) && !any(&self.exclude, path) && !self.is_own(path)
    }

    fn is_own(&self, path: &Path) -> bool {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .trim_start_matches('.');
        self.state.as_deref() == path.parent() && OWN_FILES.iter().any(|own| name.starts_with(own))
    }

    fn kind(&self, path: &Path) -> Kind {
        if self.matches(path) {
            return Kind::Matched;
        }
        let text = path.to_str().unwrap_or_default();
        let name_at = text.rfind('/').map_or(0, |slash| slash + 1);
        let mut shorter = text[name_at..]
            .rmatch_indices(['.', '-', '_'])
            .map(|(at, _)| &text[..name_at + at]);
        if !is_compressed_name(path) && shorter.any(|prefix| self.matches(Path::new(prefix))) {
            Kind::Rotated
        } else {
            Kind::Other
        }
    }

    /// Every regular file below the bases, links to files followed.
    pub(crate) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        for base in &self.bases {
            self.scan_dir(&base.dir, base.depth, &mut scan);
        }
        scan.files.sort_by(|a, b| a.path.cmp(&b.path));
        scan.files.dedup_by(|a, b| a.path == b.path);
        scan
    }

    fn scan_dir(&self, dir: &Path, depth: usize, scan: &mut Scan) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return scan.failed.push((dir.to_owned(), error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth > 0 => self.scan_dir(&path, depth - 1, scan),
                Ok(kind) if kind.is_file() || kind.is_symlink() => match Inode::of_file_at(&path) {
                    Ok(Some(inode)) => {
                        let kind = self.kind(&path);
                        scan.files.push(Found { path, inode, kind });
                    }
                    Ok(None) => {}
                    // Gone in between, or a link that leads nowhere.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => scan.failed.push((path, error)),
                },
                _ => {}
            }
        }
    }
}

/// Is `path` what rotation may make of `followed`: `app.log.1`, `app.log-20261126`, or `app-20261126.log` of `app.log`? In whatever
/// directory.
pub(crate) fn is_rotation_of(followed: &Path, path: &Path) -> bool {
    let (stem, name) = (followed.file_stem(), path.file_name());
    let rest = stem.zip(name).and_then(|(stem, name)| {
        let (stem, name) = (stem.as_encoded_bytes(), name.as_encoded_bytes());
        name.strip_prefix(stem)
    });
    path.file_name() != followed.file_name()
        && rest.is_some_and(|rest| rest.first().is_some_and(|byte| b".-_".contains(byte)))
}

/// Does its name say that it is compressed?
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| COMPRESSED.iter().any(|known| ending == *known))
}

fn any(patterns: &[Pattern], path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    patterns.iter().any(|pattern| fast_glob::glob_match(&pattern.0, path))
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
        Patterns::new(parse(include), parse(exclude), None)
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
        for bad in [
            "logs/*.log",
            "",
            "/logs/[",
            "/logs/{a",
            "/logs//*.log",
            "/logs/./*.log",
            "/logs/../*.log",
            "/logs/",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn our_own_files_are_not_read() {
        let include = vec![Pattern::parse("/logs/**").unwrap()];
        let patterns = Patterns::new(include, vec![], Some("/logs/state".into()));
        for (path, read) in [
            ("checkpoint.json", true),
            ("state/checkpoint.json", false),
            ("state/.checkpoint.json.tmp-0123abcd", false),
            ("state/dead-letter.ndjson", false),
            ("state/dead-letter.replay.ndjson", false),
            ("state/app.log", true),
        ] {
            assert_eq!(patterns.matches(&Path::new("/logs").join(path)), read, "{path}");
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
    fn what_rotation_makes_of_a_file_is_named_after_it() {
        for (name, is_rotation) in [
            ("app.log.1", true),
            ("app.log-20261126", true),
            ("app-20261126.log", true),
            ("app.2026-11-26.0.log", true),
            ("app.log", false),
            ("apple.log.1", false),
            ("b.log.1", false),
        ] {
            assert_eq!(
                is_rotation_of(Path::new("/logs/app.log"), Path::new(name)),
                is_rotation,
                "{name}"
            );
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
            let found = patterns.scan().files.into_iter().filter(|f| f.kind == Kind::Matched);
            found
                .map(|f| f.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        let flat = patterns(&[&format!("{root}/*.log")], &[&format!("{root}/skip*")]);
        assert_eq!(flat.scan().files.len(), 4, "siblings are seen too");
        assert_eq!(matched(flat), ["a.log", "b.log"]);
        assert_eq!(matched(patterns(&[&format!("{root}/**/*.log")], &[])).len(), 4);
        let scan = patterns(&["/nonexistent/*.log"], &[]).scan();
        assert!(scan.files.is_empty() && scan.failed[0].1.kind() == io::ErrorKind::NotFound);
    }
}
