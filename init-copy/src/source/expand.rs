//! A pattern as the paths that match it, in order.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::{At as _, Error, SOURCE};

/// Is it a pattern, unless a file of that very name exists?
pub(crate) fn has_pattern(path: &Path) -> bool {
    let meta = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'{');
    path.as_os_str().as_bytes().iter().any(meta) && fs::symlink_metadata(path).is_err()
}

/// All paths that match, sorted; none is an error, since a typing mistake would copy nothing.
pub(crate) fn expand(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let text = pattern.as_os_str().as_bytes();
    fast_glob::validate(text)
        .map_err(|e| Error::new(SOURCE, format!("source pattern {}: {e}", pattern.display()), ""))?;
    // What lies before the first pattern is a plain directory.
    let plain: PathBuf = pattern
        .components()
        .take_while(|c| {
            !c.as_os_str()
                .as_bytes()
                .iter()
                .any(|b| matches!(b, b'*' | b'?' | b'[' | b'{' | b'\\'))
        })
        .collect();
    let depth = if text.windows(2).any(|two| two == b"**") {
        usize::MAX
    } else {
        pattern.components().count() - plain.components().count()
    };
    let normal: PathBuf = pattern.components().filter(|c| *c != Component::CurDir).collect();
    let mut search = Search {
        pattern: normal.as_os_str().as_bytes(),
        // As in a shell, a hidden name has to be asked for.
        hidden: pattern
            .components()
            .skip(plain.components().count())
            .any(|c| c.as_os_str().as_bytes().starts_with(b".")),
        found: Vec::new(),
    };
    search.descend(&plain, depth)?;
    let mut found = search.found;
    if found.is_empty() {
        return Err(Error::new(
            SOURCE,
            format!("source pattern {} matches nothing", pattern.display()),
            "check the pattern against the image that carries the files; quote it, so that no shell takes it apart",
        ));
    }
    found.sort();
    Ok(found)
}

struct Search<'p> {
    pattern: &'p [u8],
    hidden: bool,
    found: Vec<PathBuf>,
}

impl Search<'_> {
    fn descend(&mut self, dir: &Path, depth: usize) -> Result<(), Error> {
        let shown = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        let entries = match fs::read_dir(shown) {
            Ok(entries) => entries,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e).at("read the directory", shown),
        };
        for entry in entries {
            let entry = entry.at("read the directory", shown)?;
            let path = dir.join(entry.file_name());
            if !self.hidden && entry.file_name().as_bytes().starts_with(b".") {
                continue;
            }
            if fast_glob::glob_match(self.pattern, path.as_os_str().as_bytes()) {
                self.found.push(path);
            } else if depth > 1 && entry.file_type().at("look at", &path)?.is_dir() {
                self.descend(&path, depth - 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_a_shell_would_find() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jar", "b.jar", "c.txt", ".hidden.jar", "sub/d.jar", "sub/deep/e.jar"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = expand(&dir.path().join(pattern)).unwrap_or_default();
            found
                .iter()
                .map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names("*.jar"), ["a.jar", "b.jar"]);
        assert_eq!(names("{a,c}.*"), ["a.jar", "c.txt"]);
        assert_eq!(names("*/*.jar"), ["sub/d.jar"]);
        assert_eq!(names("**/*.jar"), ["a.jar", "b.jar", "sub/d.jar", "sub/deep/e.jar"]);
        assert_eq!(names(".h*"), [".hidden.jar"]);
        assert_eq!(names("*.war"), [""; 0]);
        assert!(has_pattern(&dir.path().join("*.jar")));
        fs::write(dir.path().join("odd[1]"), "").unwrap();
        assert!(
            !has_pattern(&dir.path().join("odd[1]")),
            "it exists under this very name"
        );
    }
}
