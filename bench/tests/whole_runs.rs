//! The benchmark itself as a process, with a script in the place of init-copy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Four binaries, the first of which copies by `script` when called as `init-copy cp SRC DEST`.
fn binaries(script: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["init-copy", "log-sidecar", "proxy-sidecar", "adapter-sidecar"] {
        let path = dir.path().join(name);
        fs::write(
            &path,
            format!("#!/bin/sh\n[ \"$1\" = cp ] || {{ echo '{name} 1.2.3'; exit; }}\n{script}\n"),
        )
        .expect("the directory is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }
    dir
}

fn bench(binaries: &Path, work: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--bin-dir")
        .arg(binaries)
        .arg("--disk")
        .arg(work.join("disk"))
        .arg("--memory")
        .arg(work.join("memory"))
        .arg("--output")
        .arg(work.join("output"))
        .args(arguments)
        .output()
        .expect("the benchmark starts")
}

#[track_caller]
fn stderr_of(output: &Output, succeeded: bool) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.success(), succeeded, "{stdout}\n{stderr}");
    stderr
}

#[test]
fn a_quick_run_checks_the_work_leaves_nothing_and_writes_no_results() {
    let (ours, work) = (binaries("exec cp \"$2\" \"$3\""), tempfile::tempdir().unwrap());
    let output = bench(ours.path(), work.path(), &["--quick", "one-file"]);
    stderr_of(&output, true);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("| one-file | init-copy cp | 0."), "{stdout}");
    assert_eq!(fs::read_dir(work.path().join("disk")).unwrap().count(), 0);
    assert!(!work.path().join("output").exists());
}

#[test]
fn a_wrong_copy_fails_even_when_the_program_says_it_is_right() {
    let ours = binaries("cp \"$2\" \"$3\" && printf x | dd of=\"$3\" conv=notrunc bs=1 seek=1000 2>/dev/null");
    let work = tempfile::tempdir().unwrap();
    let stderr = stderr_of(&bench(ours.path(), work.path(), &["--quick", "one-file"]), false);
    assert!(
        stderr.contains("one-file: wrong work by `init-copy cp SRC DEST`"),
        "{stderr}"
    );
    assert!(stderr.contains("has the wrong content"), "{stderr}");
    assert_eq!(fs::read_dir(work.path().join("disk")).unwrap().count(), 0);
}

#[test]
fn a_program_that_fails_is_reported_with_what_it_said() {
    let (ours, work) = (
        binaries("echo 'no such luck' >&2; exit 14"),
        tempfile::tempdir().unwrap(),
    );
    let stderr = stderr_of(&bench(ours.path(), work.path(), &["--quick", "one-file"]), false);
    assert!(
        stderr.contains("no such luck") && stderr.contains("ended with code 14"),
        "{stderr}"
    );
}

#[test]
fn a_missing_binary_is_a_failure_and_the_next_run_replaces_the_result() {
    let (ours, work) = (binaries("exit 1"), tempfile::tempdir().unwrap());
    let hidden = ours.path().join("hidden");
    fs::rename(ours.path().join("log-sidecar"), &hidden).unwrap();
    for arguments in [&["size"][..], &["size", "--quick"]] {
        let stderr = stderr_of(&bench(ours.path(), work.path(), arguments), false);
        assert!(stderr.contains("size: log-sidecar: no such file"), "{stderr}");
    }
    let results = || fs::read_to_string(work.path().join("output/RESULTS.md")).unwrap();
    assert!(results().contains("| no such file | **missed** |"), "{}", results());

    fs::rename(&hidden, ours.path().join("log-sidecar")).unwrap();
    stderr_of(&bench(ours.path(), work.path(), &["size"]), true);
    assert!(!results().contains("missed"), "{}", results());
    assert!(work.path().join("output/charts/size.svg").exists());
    assert!(work.path().join("output/results/size.json").exists());
}
