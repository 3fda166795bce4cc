//! Killed, or out of space, at every single system call that changes something: the target is old, absent or complete,
//! and the next run ends complete.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use testbed::process::run;
use testbed::trace::{self, Calls, Errno, Fault};

use crate::{BIN, Volume, assert_done, text};

/// A small job: arguments, and what stands at the destination before.
struct Job {
    args: fn(&Volume) -> Vec<String>,
    before: fn(&Volume),
    /// Names at the destination that are each old, absent or new, with old and new content.
    files: &'static [(&'static str, Option<&'static str>, &'static str)],
    /// Either all of the files are new or none is.
    whole: bool,
}

fn paths(volume: &Volume, options: &[&str], sources: &[&str], dest: &str) -> Vec<String> {
    let options = options.iter().map(|option| (*option).to_owned());
    let sources = sources.iter().map(|name| text(&volume.source(name)));
    options.chain(sources).chain([text(&volume.dest(dest))]).collect()
}

fn prepare(job: &Job) -> Volume {
    let volume = Volume::new();
    fs::write(volume.source("app.war"), "new war").unwrap();
    fs::write(volume.source("tree/conf/app.yaml"), "new yaml").unwrap();
    (job.before)(&volume);
    volume
}

fn earlier(volume: &Volume, options: &[&str], dest: &str) {
    fs::create_dir(volume.dir.path().join("earlier")).unwrap();
    let source = volume.dir.path().join("earlier/tree");
    fs::create_dir_all(source.join("conf")).unwrap();
    fs::write(source.join("conf/app.yaml"), "old yaml").unwrap();
    fs::write(source.join("gone"), "old").unwrap();
    let mut args: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    args.extend([format!("{}/", text(&source)), text(&volume.dest(dest))]);
    assert_done(&run(BIN, &args.iter().map(String::as_str).collect::<Vec<_>>()));
}

const RENAME: Job = Job {
    args: |v| paths(v, &[], &["tree", "app.war"], ""),
    before: |v| fs::write(v.dest("app.war"), "old war").unwrap(),
    files: &[
        ("app.war", Some("old war"), "new war"),
        ("tree/conf/app.yaml", None, "new yaml"),
    ],
    whole: false,
};

const PRUNE: Job = Job {
    args: |v| paths(v, &["--prune", "--publish", "rename"], &["tree/"], "agent"),
    before: |v| earlier(v, &["--publish", "rename"], "agent"),
    files: &[
        ("agent/conf/app.yaml", Some("old yaml"), "new yaml"),
        ("agent/link", None, "new yaml"),
    ],
    whole: false,
};

const EXCHANGE: Job = Job {
    args: |v| paths(v, &["--publish", "exchange"], &["tree/"], "agent"),
    before: |v| earlier(v, &[], "agent"),
    files: &[
        ("agent/conf/app.yaml", Some("old yaml"), "new yaml"),
        ("agent/link", None, "new yaml"),
    ],
    whole: true,
};

const SYMLINK: Job = Job {
    args: |v| paths(v, &["--publish", "symlink"], &["tree/"], "agent"),
    before: |v| earlier(v, &["--publish", "symlink"], "agent"),
    files: &[
        ("agent/conf/app.yaml", Some("old yaml"), "new yaml"),
        ("agent/link", None, "new yaml"),
    ],
    whole: true,
};

const FRESH: Job = Job {
    args: |v| paths(v, &["--preserve", "all"], &["tree/"], "agent"),
    before: |_| {},
    files: &[
        ("agent/conf/app.yaml", None, "new yaml"),
        ("agent/link", None, "new yaml"),
    ],
    whole: true,
};

/// What stands there is one of the two, whole.
fn assert_old_or_new(job: &Job, volume: &Volume, when: &str) {
    let mut new = 0;
    for (name, before, after) in job.files {
        match fs::read_to_string(volume.dest(name)) {
            Ok(content) if content == *after => new += 1,
            Ok(content) => assert_eq!(Some(content.as_str()), *before, "{name} {when}"),
            Err(_) => assert!(before.is_none(), "{name} is gone {when}"),
        }
    }
    if job.whole {
        assert!(
            new == 0 || new == job.files.len(),
            "{new} of {} are new {when}",
            job.files.len()
        );
    }
}

fn assert_complete(job: &Job, volume: &Volume, when: &str) {
    for (name, _, after) in job.files {
        assert_eq!(
            fs::read_to_string(volume.dest(name)).ok().as_deref(),
            Some(*after),
            "{name} {when}"
        );
    }
    let left: Vec<_> = volume
        .names()
        .into_iter()
        .filter(|name| name.contains(".init-copy-"))
        .collect();
    assert!(left.is_empty(), "{left:?} is left {when}");
}

fn command(args: &[String]) -> std::process::Command {
    let mut command = trace::command(BIN);
    command.args(args);
    command
}

/// Goes through all calls; returns how many there were.
fn kill_at_every_call(job: &Job) -> usize {
    let volume = prepare(job);
    let total = trace::count(&mut command(&(job.args)(&volume)), &Calls::Writing).counted();
    for n in 1..=total {
        let volume = prepare(job);
        let args = (job.args)(&volume);
        let killed = trace::run(&mut command(&args), &Calls::Writing, n, Fault::Kill);
        // With several threads there may be a call less this time.
        if killed.output.status.signal() != Some(9) {
            assert!(n == total, "call {n} of {total} did not come");
            continue;
        }
        let when = format!(
            "after the kill at call {n}, {}",
            killed.hit().map(ToString::to_string).unwrap_or_default()
        );
        assert_old_or_new(job, &volume, &when);
        let again = run(BIN, &args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(
            again.status.code(),
            Some(0),
            "{when}: {}",
            String::from_utf8_lossy(&again.stderr)
        );
        assert_complete(job, &volume, &when);
    }
    total
}

#[test]
fn killed_at_every_call_of_a_rename() {
    assert!(kill_at_every_call(&RENAME) > 15);
}

#[test]
fn killed_at_every_call_of_a_prune() {
    assert!(kill_at_every_call(&PRUNE) > 10);
}

#[test]
fn killed_at_every_call_of_an_exchange() {
    assert!(kill_at_every_call(&EXCHANGE) > 10);
}

#[test]
fn killed_at_every_call_of_a_symlink_switch() {
    assert!(kill_at_every_call(&SYMLINK) > 10);
}

#[test]
fn killed_at_every_call_of_a_first_copy() {
    assert!(kill_at_every_call(&FRESH) > 10);
}

/// The disk is full from the n-th call on, and stays so.
#[test]
fn a_disk_that_fills_at_any_call_leaves_what_was_there_and_a_message() {
    for job in [&RENAME, &PRUNE, &EXCHANGE, &SYMLINK, &FRESH] {
        let volume = prepare(job);
        let total = trace::count(&mut command(&(job.args)(&volume)), &Calls::GROWING).counted();
        let mut refused = 0;
        for n in 1..=total {
            let volume = prepare(job);
            let args = (job.args)(&volume);
            let names_before = volume.names();
            let full = trace::run(&mut command(&args), &Calls::GROWING, n, Fault::ErrnoFrom(Errno::ENOSPC));
            let stderr = String::from_utf8_lossy(&full.output.stderr).into_owned();
            let when = format!(
                "with a full disk from call {n} on, {:?}: {stderr}",
                full.hit().map(ToString::to_string)
            );
            assert_old_or_new(job, &volume, &when);
            match full.output.status.code() {
                // Nothing but the receipt, or a sync of what is there, was left to do.
                Some(0) => {}
                Some(14) => {
                    refused += 1;
                    assert!(stderr.contains("remedy: raise the volume's sizeLimit"), "{when}");
                    if !volume.dest(job.files[0].0).exists() || job.whole {
                        let left: Vec<_> = volume
                            .names()
                            .into_iter()
                            .filter(|name| !names_before.contains(name))
                            .collect();
                        let staged = left.iter().any(|name| name.contains(".init-copy-"));
                        assert!(!staged, "{left:?} is left {when}");
                    }
                }
                other => panic!("exit code {other:?} {when}"),
            }
            assert_done(&run(BIN, &args.iter().map(String::as_str).collect::<Vec<_>>()));
            assert_complete(job, &volume, &when);
        }
        assert!(refused > 0, "no call was refused");
    }
}

/// With a policy, and a receipt inside or elsewhere: whatever call it was killed at, what it had put there is its own.
#[test]
fn after_a_kill_what_was_put_there_is_still_known_as_ours() {
    for policy in ["--existing=keep", "--existing=fail", "--existing=seed"] {
        for elsewhere in [false, true] {
            let flags = |volume: &Volume| {
                let mut flags = vec!["--publish=rename".to_owned(), policy.to_owned()];
                flags.extend(elsewhere.then(|| format!("--receipt={}", text(&volume.dir.path().join("receipt")))));
                flags
            };
            let args = |volume: &Volume| {
                let flags = flags(volume);
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                paths(volume, &flags, &["tree/"], "agent")
            };
            // With `seed`, nothing is ever replaced: there, it is the first copy that is killed, with a directory that stood there.
            let before = |volume: &Volume| {
                if policy == "--existing=seed" {
                    fs::create_dir(volume.dest("agent")).unwrap();
                } else {
                    let flags = flags(volume);
                    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                    earlier(volume, &flags, "agent");
                }
            };
            let start = || {
                let volume = Volume::new();
                fs::write(volume.source("tree/conf/app.yaml"), "new yaml").unwrap();
                before(&volume);
                volume
            };
            let again = |volume: &Volume, when: &str| {
                let output = run(BIN, &args(volume).iter().map(String::as_str).collect::<Vec<_>>());
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(0), "{policy} {when}: {stderr}");
                assert!(
                    !stderr.contains("not put there by init-copy"),
                    "{policy} {when}: {stderr}"
                );
            };
            let total = trace::count(&mut command(&args(&start())), &Calls::Writing).counted();
            for n in 1..=total {
                let volume = start();
                let killed = trace::run(&mut command(&args(&volume)), &Calls::Writing, n, Fault::Kill);
                if killed.output.status.signal() != Some(9) {
                    continue;
                }
                let when = format!("after the kill at call {n}");
                again(&volume, &when);
                let content = || fs::read_to_string(volume.dest("agent/conf/app.yaml")).unwrap();
                assert_eq!(content(), "new yaml", "{policy} {when}");
                fs::write(volume.source("tree/conf/app.yaml"), "newest yaml").unwrap();
                if policy != "--existing=seed" {
                    again(&volume, &when);
                    assert_eq!(content(), "newest yaml", "{policy} {when}");
                }
            }
            assert!(total > 10);
        }
    }
}
