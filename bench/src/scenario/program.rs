//! A command line with places for paths: what is run, and what is shown.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::binaries::Binaries;

/// One of those that do the work.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// In tables and charts.
    pub(crate) name: String,
    /// As one would type it, with SRC and DEST.
    pub(crate) shown: String,
    /// Asks the program for its version.
    pub(crate) version: Vec<String>,
    words: Vec<String>,
    binary: PathBuf,
}

impl Program {
    /// `ours` with `words`, in which `{src}`, `{dest}` and `{scratch}` stand for the paths of a run, and `{port}` for that of a store.
    pub(crate) fn ours(binaries: &Binaries, ours: &str, name: &str, words: &[&str]) -> Self {
        let binary = binaries.path(ours);
        let version = vec![binary.to_string_lossy().into_owned(), "--version".into()];
        Self::new(ours, binary, name, words, version)
    }

    /// `words`, the first of which is the program, likewise; `version` asks it for its version.
    pub(crate) fn peer(name: &str, words: &[&str], version: &[&str]) -> Self {
        let (program, rest) = words.split_first().unwrap_or((&"", &[]));
        let version = version.iter().map(|word| (*word).to_owned()).collect();
        Self::new(program, PathBuf::from(program), name, rest, version)
    }

    fn new(typed: &str, binary: PathBuf, name: &str, words: &[&str], version: Vec<String>) -> Self {
        let show = |word: &&str| {
            let word = word.replace("{src}", "SRC").replace("{dest}", "DEST");
            let word = word.replace("{scratch}", "STATE").replace("{port}", "PORT");
            let word = word.replace("{one}", "ONE").replace("{two}", "TWO");
            let quote = if word.contains('\'') { '"' } else { '\'' };
            if word.contains(' ') {
                format!("{quote}{word}{quote}")
            } else {
                word
            }
        };
        let shown: Vec<String> = std::iter::once(typed.to_owned())
            .chain(words.iter().map(show))
            .collect();
        Self {
            name: name.to_owned(),
            shown: shown.join(" "),
            version,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            binary,
        }
    }

    /// The command for these paths. They are text: the folders of a scenario are named by us, below one named by the user.
    pub(crate) fn command(&self, source: &Path, target: &Path, scratch: &Path) -> Vec<OsString> {
        let paths = [("{src}", source), ("{dest}", target), ("{scratch}", scratch)];
        let fill = |word: &String| {
            let filled = paths.iter().fold(word.clone(), |word, (place, path)| {
                word.replace(place, &path.to_string_lossy())
            });
            OsString::from(filled)
        };
        let binary = std::iter::once(self.binary.clone().into_os_string());
        binary.chain(self.words.iter().map(fill)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_their_places() {
        let binaries = Binaries::InOneDirectory("/bin-dir".into());
        let ours = Program::ours(
            &binaries,
            "init-copy",
            "init-copy",
            &["cp", "{src}/", "{dest}", "{scratch}"],
        );
        assert_eq!(ours.shown, "init-copy cp SRC/ DEST STATE");
        let command = ours.command(Path::new("/a b"), Path::new("/c"), Path::new("/d"));
        assert_eq!(command, ["/bin-dir/init-copy", "cp", "/a b/", "/c", "/d"]);
        assert_eq!(ours.version, ["/bin-dir/init-copy", "--version"]);
    }

    #[test]
    fn words_with_spaces_are_shown_quoted() {
        let peer = Program::peer("cp, then", &["sh", "-c", "cp {src} {dest}"], &["cp", "--version"]);
        assert_eq!(peer.shown, "sh -c 'cp SRC DEST'");
        let peer = Program::peer("cp, then", &["sh", "-c", "cp '{src}' '{dest}'"], &["cp", "--version"]);
        assert_eq!(peer.shown, "sh -c \"cp 'SRC' 'DEST'\"");
    }
}
