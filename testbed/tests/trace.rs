//! The fault harness against programs of the system, and against this test as a program with threads.

#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Command;
use std::thread;

use testbed::process::code_and_stderr;
use testbed::trace::{self, Calls, Errno, Fault, Traced};

const THREADS: usize = 4;
const FILES: usize = 5;
const FOLDER: &str = "TRACED_FOLDER";

fn program(name: &str, args: &[&str], dir: &Path) -> Command {
    let mut command = trace::command(name);
    command.args(args).current_dir(dir).env("LC_ALL", "C");
    command
}

fn with_file_a() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "text").unwrap();
    dir
}

fn names(traced: &Traced) -> Vec<String> {
    traced.calls.iter().map(ToString::to_string).collect()
}

#[test]
fn counts_what_changes_files_and_nothing_of_the_log() {
    let dir = with_file_a();
    let plain = trace::count(&mut program("cp", &["a", "b"], dir.path()), &Calls::Writing);
    fs::remove_file(dir.path().join("b")).unwrap();
    let verbose = trace::count(&mut program("cp", &["-v", "a", "b"], dir.path()), &Calls::Writing);

    assert!(plain.output.status.success(), "{:?}", code_and_stderr(&plain.output));
    assert_eq!(String::from_utf8_lossy(&verbose.output.stdout), "'a' -> 'b'\n");
    assert!(plain.counted() >= 2 && plain.hit().is_none(), "{plain:?}");
    assert_eq!(names(&plain), names(&verbose));
    assert_eq!(names(&plain)[0], "openat b");

    let shell = "echo out; echo err >&2; echo file > f; echo more > f";
    let shell = trace::count(&mut program("sh", &["-c", shell], dir.path()), &Calls::Writing);
    assert_eq!(names(&shell), ["openat f", "openat f"]);
    assert_eq!(shell.output.stdout, b"out\n");
    assert_eq!(shell.output.stderr, b"err\n");
}

#[test]
fn a_kill_comes_before_the_call() {
    let dir = with_file_a();
    let path = |name: &str| dir.path().join(name);
    let calls = trace::count(&mut program("mv", &["a", "b"], dir.path()), &Calls::Writing).counted();
    fs::rename(path("b"), path("a")).unwrap();
    for n in 1..=calls {
        let killed = trace::run(
            &mut program("mv", &["a", "b"], dir.path()),
            &Calls::Writing,
            n,
            Fault::Kill,
        );
        assert_eq!(killed.output.status.signal(), Some(9), "{killed:?}");
        assert_eq!(killed.counted(), n);
        assert_eq!(killed.hit(), killed.calls.last());
        assert!(path("a").exists() && !path("b").exists(), "{killed:?}");
    }
    let beyond = trace::run(
        &mut program("mv", &["a", "b"], dir.path()),
        &Calls::Writing,
        calls + 1,
        Fault::Kill,
    );
    assert!(beyond.output.status.success() && beyond.hit().is_none(), "{beyond:?}");
    assert!(!path("a").exists() && path("b").exists());
}

#[test]
fn a_kill_at_each_call_of_a_copy_leaves_a_part_of_it() {
    let dir = with_file_a();
    let calls = trace::count(&mut program("cp", &["a", "b"], dir.path()), &Calls::Writing).counted();
    for n in 1..=calls {
        let dir = with_file_a();
        let copy = dir.path().join("b");
        let killed = trace::run(
            &mut program("cp", &["a", "b"], dir.path()),
            &Calls::Writing,
            n,
            Fault::Kill,
        );
        assert_eq!(killed.output.status.signal(), Some(9), "{killed:?}");
        assert_eq!(copy.exists(), n > 1, "{killed:?}");
        assert!(!copy.exists() || "text".starts_with(&fs::read_to_string(&copy).unwrap()));
    }
}

#[test]
fn an_error_is_what_the_program_sees() {
    let dir = with_file_a();
    let full = trace::run(
        &mut program("cp", &["a", "b"], dir.path()),
        &Calls::Writing,
        1,
        Fault::Errno(Errno::ENOSPC),
    );
    let (code, stderr) = code_and_stderr(&full.output);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert_eq!(full.hit().unwrap().to_string(), "openat b");
    assert!(!dir.path().join("b").exists());

    let moved = trace::run(
        &mut program("mv", &["a", "b"], dir.path()),
        &Calls::Named(&["rename", "renameat", "renameat2"]),
        1,
        Fault::ErrnoFrom(Errno::EROFS),
    );
    let (code, stderr) = code_and_stderr(&moved.output);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("Read-only file system"), "{stderr}");
    assert!(dir.path().join("a").exists() && !dir.path().join("b").exists());
}

#[test]
fn a_full_disk_lets_files_be_removed() {
    let dir = with_file_a();
    let script = "echo > b; exec rm a";
    let mut command = program("sh", &["-c", script], dir.path());
    let full = trace::run(&mut command, &Calls::GROWING, 1, Fault::ErrnoFrom(Errno::ENOSPC));
    // The shell goes on after a redirection that failed.
    assert_eq!(full.hit().unwrap().to_string(), "openat b");
    assert!(full.output.status.success(), "{full:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Not a test of its own: what the tests below trace.
#[test]
fn program_with_threads() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"not counted").unwrap();
    let work = |thread: usize| {
        let folder = Path::new(&folder);
        let create = |file: usize| File::create(folder.join(format!("{thread}-{file}")));
        let written = |file: &usize| create(*file).and_then(|mut file| file.write_all(b"text")).is_ok();
        (0..FILES).filter(written).count()
    };
    let done: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    drop(reader);
    println!("done={done}");
}

fn with_threads(n: usize, calls: &Calls, fault: Fault) -> (Traced, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let mut command = trace::command(this.to_str().unwrap());
    command
        .args(["--exact", "program_with_threads", "--nocapture"])
        .env(FOLDER, dir.path());
    let traced = trace::run(&mut command, calls, n, fault);
    let files = fs::read_dir(dir.path()).unwrap().count();
    let text = fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().metadata().unwrap().len() > 0)
        .count();
    (traced, files, text)
}

#[test]
fn threads_are_counted_together() {
    let all = THREADS * FILES;
    let (whole, files, text) = with_threads(2 * all + 1, &Calls::Writing, Fault::Kill);
    assert!(whole.output.status.success(), "{whole:?}");
    assert_eq!((whole.counted(), files, text), (2 * all, all, all), "{whole:#?}");
    for n in [1, all, 2 * all] {
        let (killed, files, text) = with_threads(n, &Calls::Writing, Fault::Kill);
        assert_eq!(killed.output.status.signal(), Some(9), "{killed:?}");
        assert_eq!(killed.counted(), n);
        assert!(files + text < n, "files={files} text={text} {killed:?}");
    }
}

#[test]
fn an_error_comes_once_or_from_then_on() {
    let all = THREADS * FILES;
    let writes = Calls::Named(&["write"]);
    let (once, files, text) = with_threads(3, &writes, Fault::Errno(Errno::ENOSPC));
    assert_eq!((once.counted(), files, text), (all, all, all - 1), "{once:?}");
    let (full, files, text) = with_threads(3, &writes, Fault::ErrnoFrom(Errno::ENOSPC));
    assert_eq!((full.counted(), files, text), (all, all, 2), "{full:?}");
    assert!(String::from_utf8_lossy(&full.output.stdout).contains("done=2\n"));
    assert_eq!(full.hit().unwrap(), &full.calls[2]);
}

#[test]
fn output_exit_and_signals_are_those_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let run = |script: &str| trace::count(&mut program("sh", &["-c", script], dir.path()), &Calls::Writing).output;
    assert_eq!(run("exit 3").status.code(), Some(3));
    assert_eq!(run("kill -TERM $$").status.signal(), Some(15));
    let trapped = run("trap 'echo caught; exit 4' USR1; kill -USR1 $$; echo missed");
    assert_eq!(
        (trapped.status.code(), trapped.stdout.as_slice()),
        (Some(4), b"caught\n".as_slice())
    );
    // More than a pipe holds, of a child that is not traced.
    assert!(run("seq 30000; seq 30000 >&2; exit 0").stderr.len() > 100_000);
}

#[test]
fn settings_of_the_command_hold() {
    const NOBODY: u32 = 65_534;
    let mut command = trace::command("sh");
    command
        .args(["-c", "pwd; id -u; echo \"$1 $COLOR\"", "sh", "two  words"])
        .current_dir("/proc")
        .env("COLOR", "blue");
    let mut user = fs::metadata("/proc/self").unwrap().uid();
    if user == 0 {
        user = NOBODY;
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = trace::count(&mut command, &Calls::Writing).output;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("/proc\n{user}\ntwo  words blue\n"),
        "{output:?}"
    );
}

#[test]
#[should_panic(expected = "not started")]
fn a_binary_that_is_not_there_is_told() {
    trace::count(&mut trace::command("/nonexistent"), &Calls::Writing);
}

#[test]
#[should_panic(expected = "[\"fsnyc\"]")]
fn a_misspelt_call_is_told() {
    trace::count(&mut trace::command("true"), &Calls::Named(&["fsync", "fsnyc"]));
}

#[test]
#[should_panic(expected = "trace::command")]
fn another_command_is_refused() {
    trace::count(&mut Command::new("true"), &Calls::Writing);
}
