//! The real binary: what it does, what it refuses, and what a fault leaves behind.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod archives;
mod attributes;
mod crash;
mod existing;
mod faults;
mod flags;
mod oci;
mod publish;
mod steps;
mod trees;
mod web;
mod works;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;
use testbed::process::{code_and_stderr, run, unprivileged};

const BIN: &str = env!("CARGO_BIN_EXE_init-copy");

/// A source with `sample.war` and a small tree, and an empty destination.
struct Volume {
    dir: TempDir,
}

impl Volume {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let volume = Self { dir };
        std::fs::create_dir_all(volume.source("tree/conf/empty")).unwrap();
        std::fs::create_dir(volume.dest("")).unwrap();
        std::fs::write(volume.source("sample.war"), vec![7; 300_000]).unwrap();
        std::fs::write(volume.source("tree/conf/app.yaml"), "a: 1\n").unwrap();
        std::os::unix::fs::symlink("conf/app.yaml", volume.source("tree/link")).unwrap();
        volume
    }

    fn source(&self, name: &str) -> PathBuf {
        self.dir.path().join("source").join(name)
    }

    fn dest(&self, name: &str) -> PathBuf {
        self.dir.path().join("dest").join(name)
    }

    /// Runs `init-copy SOURCE... DEST` with names below the two directories.
    fn copy(&self, sources: &[&str], dest: &str) -> Output {
        let mut args: Vec<String> = sources.iter().map(|s| text(&self.source(s))).collect();
        args.push(text(&self.dest(dest)));
        run(BIN, &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// All names below the destination but receipts, sorted.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        list(&self.dest(""), Path::new(""), &mut names);
        names.retain(|name| !name.ends_with(".init-copy.receipt"));
        names.sort();
        names
    }
}

fn list(dir: &Path, below: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = below.join(entry.file_name());
        names.push(text(&name));
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &name, names);
        }
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Runs as a user without privileges, who is given what root has in the volume.
fn as_nobody(volume: &Volume, args: &[&str]) -> Output {
    let mut command = unprivileged(BIN, volume.dir.path());
    let mut own = std::process::Command::new("chown");
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert!(
            own.args(["-hR", "--from=0:0", "65534:65534"])
                .arg(volume.dir.path())
                .status()
                .unwrap()
                .success()
        );
    }
    command.args(args).output().unwrap()
}

#[track_caller]
fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{:?}", code_and_stderr(output));
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let (found, stderr) = code_and_stderr(output);
    assert_eq!(found, Some(code), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
}
