//! Globs: which files to read, and where to look for them.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use pod_contract::config::Setting;

use super::names::{Kind, before_rotation};
use crate::checkpoint;
use crate::deliver::DEAD_LETTER;
use crate::state::SINKS;

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
    /// Where rotation puts files, if not beside the others.
    rotated: Vec<Pattern>,
    bases: Vec<Base>,
    /// Where our own files are; to read them would never end.
    state: Option<PathBuf>,
}

/// A directory to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) dir: PathBuf,
    /// Levels below it; 0 for the directory alone.
    pub(crate) depth: usize,
}

/// What the state directory holds of ours, and the temporary files beside it.
const OWN_FILES: [&str; 2] = [checkpoint::NAME, DEAD_LETTER];

impl Patterns {
    pub(crate) fn new(
        include: Vec<Pattern>,
        exclude: Vec<Pattern>,
        rotated: Vec<Pattern>,
        state: Option<PathBuf>,
    ) -> Self {
        let mut bases: Vec<Base> = Vec::new();
        for pattern in include.iter().chain(&rotated) {
            let base = base_of(&pattern.0);
            match bases.iter_mut().find(|known| known.dir == base.dir) {
                Some(known) => known.depth = known.depth.max(base.depth),
                None => bases.push(base),
            }
        }
        Self {
            include,
            exclude,
            rotated,
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
        let Some(state) = &self.state else { return false };
        let dir = path.parent();
        let is_sinks = || dir.and_then(Path::parent) == Some(&state.join(SINKS));
        OWN_FILES.iter().any(|own| name.starts_with(own)) && (dir == Some(state) || is_sinks())
    }

    /// Would what is written at `path` be looked at, under whatever name?
    pub(crate) fn lead_to(&self, path: &Path) -> bool {
        let real = resolved(path);
        let under = |base: &Base| {
            let rest = real.strip_prefix(resolved(&base.dir)).ok()?;
            Some(base.dir.join(rest))
        };
        let names = self.bases.iter().filter_map(under);
        names
            .chain([path.to_owned()])
            .any(|name| self.kind(&name) != Kind::Other)
    }

    pub(crate) fn kind(&self, path: &Path) -> Kind {
        if self.matches(path) {
            return Kind::Matched;
        }
        let is_open = !any(&self.exclude, path) && !self.is_own(path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut before = before_rotation(name);
        if is_open && (any(&self.rotated, path) || before.any(|name| self.matches(&path.with_file_name(name)))) {
            Kind::Rotated
        } else {
            Kind::Other
        }
    }
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

/// Where links lead to, as far as there is something.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let of_parent = || {
        let dir = fs::canonicalize(path.parent()?).ok()?;
        Some(dir.join(path.file_name()?))
    };
    fs::canonicalize(path)
        .ok()
        .or_else(of_parent)
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
        let parse = |texts: &[&str]| texts.iter().map(|t| Pattern::parse(t).unwrap()).collect();
        Patterns::new(parse(include), parse(exclude), vec![], None)
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
        let patterns = Patterns::new(include, vec![], vec![], Some("/logs/state".into()));
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
            ("app.log.1.gz", Kind::Rotated),
            ("app-20261121.log", Kind::Matched),
            ("skip.2026-11-21.log.gz", Kind::Other),
            ("app.txt", Kind::Other),
            ("skip.log.1", Kind::Other),
            ("deep/app.log", Kind::Other),
        ] {
            assert_eq!(patterns.kind(&Path::new("/logs").join(name)), kind, "{name}");
        }
    }
}
