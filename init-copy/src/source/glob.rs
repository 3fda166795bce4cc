//! Patterns of paths: `*` and `?` within a name, `**` across names, `[a-z]`, `{a,b}`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use pod_contract::config::Setting;

/// One pattern. Without a slash it means a name anywhere, with one a path from the start, as in `.dockerignore` and `rsync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    pattern: String,
    whole_path: bool,
}

impl Glob {
    pub(crate) fn matches(&self, path: &Path) -> bool {
        if self.whole_path {
            fast_glob::glob_match(&self.pattern, path.as_os_str().as_bytes())
        } else {
            path.file_name()
                .is_some_and(|name| fast_glob::glob_match(&self.pattern, name.as_bytes()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl Setting for Glob {
    const FORM: &'static str = "a pattern such as *.md or docs/**";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        fast_glob::validate(text).map_err(|e| e.to_string())?;
        // `./a` says from the start, as `/a` does.
        let mut pattern = text;
        while let Some(rest) = pattern.strip_prefix("./") {
            pattern = rest;
        }
        let pattern = pattern.trim_matches('/');
        if pattern.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err("it matches nothing: paths below a source have no empty, . or .. component".into());
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            whole_path: text.contains('/'),
        })
    }
}

/// Does any of the patterns match?
pub(crate) fn any(globs: &[Glob], path: &Path) -> bool {
    globs.iter().any(|glob| glob.matches(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_means_a_name_anywhere() {
        for (pattern, path, matches) in [
            ("*.md", "README.md", true),
            ("*.md", "docs/a.md", true),
            ("*.md", "a.md/b", false),
            ("docs/*", "docs/a", true),
            ("docs/*", "docs/a/b", false),
            ("docs/**", "docs/a/b", true),
            ("./docs", "docs", true),
            ("././docs/*.md", "docs/a.md", true),
            ("./docs", "a/docs", false),
            ("/docs", "docs", true),
            ("/docs", "a/docs", false),
            ("{a,b}.[ch]", "x/b.h", true),
            ("?", "ab", false),
        ] {
            assert_eq!(
                Glob::parse(pattern).unwrap().matches(Path::new(path)),
                matches,
                "{pattern} on {path}"
            );
        }
        for bad in ["", "a[", "{a", "../a", "a/./b", "a//b", "./", "/", "."] {
            assert!(Glob::parse(bad).is_err(), "{bad:?}");
        }
    }
}
