//! What stands at the destination already: replaced, kept, seeded once, or a failure; and where the receipt is that knows.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use testbed::process::{code_and_stderr, run};

use crate::{BIN, Volume, assert_done, assert_refused, text};

/// A source of `ours`, `edited`, `removed`, `dir/inner`, copied once; then `edited` and `removed` were, `foreign` is new in the source and
/// was there before, and `fresh` is new.
fn touched(flags: &[&str]) -> Volume {
    let volume = Volume::new();
    for name in ["ours", "edited", "removed", "dir/inner"] {
        write(&volume.source("set").join(name), "first");
    }
    assert_done(&copy(&volume, flags));
    for name in [
        "ours",
        "edited",
        "removed",
        "foreign",
        "fresh",
        "dir/inner",
        "dir/fresh",
    ] {
        write(&volume.source("set").join(name), "second");
    }
    write(&volume.dest("edited"), "edited");
    write(&volume.dest("foreign"), "foreign");
    fs::remove_file(volume.dest("removed")).unwrap();
    fs::remove_dir_all(volume.dest("dir")).unwrap();
    volume
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn copy(volume: &Volume, flags: &[&str]) -> Output {
    let (from, to) = (format!("{}/", text(&volume.source("set"))), text(&volume.dest("")));
    run(BIN, &[flags, &[&from, &to]].concat())
}

/// `name=content` of every file.
fn found(volume: &Volume) -> Vec<String> {
    let is_file = |name: &String| volume.dest(name).is_file();
    let names = volume.names().into_iter().filter(is_file);
    names
        .map(|name| format!("{name}={}", fs::read_to_string(volume.dest(&name)).unwrap()))
        .collect()
}

#[test]
fn by_default_it_is_replaced_and_told() {
    for flags in [&[][..], &["--existing=replace"]] {
        let volume = touched(flags);
        let output = copy(&volume, flags);
        assert_done(&output);
        let told = code_and_stderr(&output).1;
        assert!(
            told.contains("\"entries\":2")
                && told.contains("/edited\"")
                && told.contains("replaced what was not put there"),
            "{told}"
        );
        assert!(
            found(&volume).iter().all(|file| file.ends_with("=second")),
            "{:?}",
            found(&volume)
        );
        assert_eq!(found(&volume).len(), 7);
        let again = code_and_stderr(&copy(&volume, flags)).1;
        assert!(
            again.contains("nothing to do") && !again.contains("replaced"),
            "{again}"
        );
    }
}

#[test]
fn kept_is_what_others_put_there_or_changed() {
    let flags = ["--existing=keep"];
    let volume = touched(&flags);
    let kept = [
        "dir/fresh=second",
        "dir/inner=second",
        "edited=edited",
        "foreign=foreign",
        "fresh=second",
        "ours=second",
        "removed=second",
    ];
    for _ in 0..2 {
        let output = copy(&volume, &flags);
        assert_done(&output);
        assert!(code_and_stderr(&output).1.contains("left what was not put there"));
        assert_eq!(found(&volume), kept);
    }
    assert!(code_and_stderr(&copy(&volume, &flags)).1.contains("nothing to do"));
}

#[test]
fn a_seed_is_written_once() {
    let flags = ["--existing=seed"];
    let volume = touched(&flags);
    // What was removed stays away, but its directory comes back for what is new in it.
    let seeded = [
        "dir/fresh=second",
        "edited=edited",
        "foreign=foreign",
        "fresh=second",
        "ours=first",
    ];
    for _ in 0..2 {
        assert_done(&copy(&volume, &flags));
        assert_eq!(found(&volume), seeded);
    }
    fs::remove_dir_all(volume.dest("dir")).unwrap();
    assert_done(&copy(&volume, &flags));
    assert!(!volume.dest("dir").exists(), "nothing in it is new");
}

#[test]
fn a_failure_names_what_is_in_the_way_and_writes_nothing() {
    let flags = ["--existing=fail"];
    let volume = touched(&flags);
    let before = found(&volume);
    assert_refused(
        &copy(&volume, &flags),
        16,
        &[
            "2 entries stand at the destination",
            "/edited\n",
            "/foreign",
            "keep or seed",
        ],
    );
    assert_eq!(found(&volume), before);
    for name in ["edited", "foreign"] {
        fs::remove_file(volume.dest(name)).unwrap();
    }
    assert_done(&copy(&volume, &flags));
    assert!(found(&volume).iter().all(|file| file.ends_with("=second")));
}

#[test]
fn names_of_one_file_are_kept_and_made_one_by_one() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "first");
    fs::hard_link(volume.source("set/a"), volume.source("set/b")).unwrap();
    fs::hard_link(volume.source("set/a"), volume.source("set/c")).unwrap();
    let flags = ["--existing=keep"];
    assert_done(&copy(&volume, &flags));
    fs::remove_file(volume.dest("a")).unwrap();
    write(&volume.dest("a"), "edited");
    fs::remove_file(volume.dest("b")).unwrap();
    fs::remove_file(volume.dest("c")).unwrap();
    assert_done(&copy(&volume, &flags));
    assert_eq!(found(&volume), ["a=edited", "b=first", "c=first"]);
}

#[test]
fn what_is_replaced_as_a_whole_keeps_nothing() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "a");
    for way in ["--publish=exchange", "--publish=symlink"] {
        let (from, to) = (format!("{}/", text(&volume.source("set"))), text(&volume.dest("sub")));
        let output = run(BIN, &[way, "--existing=keep", &from, &to]);
        assert_refused(&output, 2, &["--publish rename"]);
    }
}

#[test]
fn the_plan_says_what_becomes_of_it() {
    for (policy, line) in [
        ("replace", "replaces    2 entries"),
        ("keep", "leaves      2 entries as they are"),
        ("seed", "leaves      2 entries as they are"),
    ] {
        let volume = touched(&[]);
        let (from, to) = (format!("{}/", text(&volume.source("set"))), text(&volume.dest("")));
        let output = run(BIN, &["plan", &format!("--existing={policy}"), &from, &to]);
        assert_done(&output);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(line), "{policy}: {said}");
    }
}

#[test]
fn a_receipt_is_not_for_everybody_and_may_be_elsewhere_or_nowhere() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "a");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_done(&copy(&volume, &[]));
    assert_eq!(mode(&volume.dest(".init-copy.receipt")), 0o640);

    let volume = Volume::new();
    write(&volume.source("set/a"), "a");
    let receipt = volume.dir.path().join("receipt");
    let elsewhere = format!("--receipt={}", text(&receipt));
    assert_done(&copy(&volume, &[&elsewhere]));
    assert!(!volume.dest(".init-copy.receipt").exists());
    assert_eq!(mode(&receipt), 0o640);
    assert!(
        code_and_stderr(&copy(&volume, &[&elsewhere]))
            .1
            .contains("nothing to do")
    );
    let dest = text(&volume.dest(""));
    assert_done(&run(BIN, &["verify", &elsewhere, &dest]));
    assert_refused(&run(BIN, &["verify", &dest]), 10, &["has no receipt"]);
    write(&volume.dest("a"), "b");
    assert_refused(&run(BIN, &["verify", &elsewhere, &dest]), 11, &["a: "]);
    fs::remove_file(volume.source("set/a")).unwrap();
    write(&volume.source("set/c"), "c");
    assert_done(&copy(&volume, &[&elsewhere, "--prune"]));
    assert_eq!(found(&volume), ["a=b", "c=c"], "what was changed is not pruned");

    assert_done(&copy(&volume, &["--receipt=off"]));
    assert!(!volume.dest(".init-copy.receipt").exists());
    let whole = text(&volume.dest("whole"));
    let from = format!("{}/", text(&volume.source("set")));
    for way in ["--publish=rename", "--publish=exchange", "--publish=symlink"] {
        let dest = format!("{whole}{way}");
        assert_refused(&run(BIN, &[way, &elsewhere, &from, &dest]), 16, &["is of"]);
        let elsewhere = format!("{elsewhere}{way}");
        assert_done(&run(BIN, &[way, &elsewhere, &from, &dest]));
        assert!(!Path::new(&dest).join(".init-copy.receipt").exists());
        let again = run(BIN, &[way, &elsewhere, &from, &dest]);
        assert!(code_and_stderr(&again).1.contains("nothing to do"), "{way}: {again:?}");
    }
}

#[test]
fn a_receipt_is_never_a_source() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "a");
    write(&volume.source("set/.init-copy-notes"), "a name like ours");
    assert_done(&copy(&volume, &[]));
    // The next one of a chain of init containers copies what the first one made, to the top and to below.
    for to in ["../second/", "../second/below/"] {
        let to = text(&volume.dest(to));
        let output = run(BIN, &["--name=chain", &text(&volume.dest(".")), &to]);
        assert_done(&output);
        assert!(code_and_stderr(&output).1.contains("left out: it is init-copy's own"));
    }
    let second = fs::read_to_string(volume.dest("../second/.init-copy.receipt")).unwrap();
    assert!(!second.contains("receipt\t0"), "{second}");
    assert_eq!(
        fs::read_to_string(volume.dest("../second/.init-copy-notes")).unwrap(),
        "a name like ours"
    );
    let named = text(&volume.dest(".init-copy.receipt"));
    assert_refused(
        &run(BIN, &[&named, &text(&volume.dest("../second/"))]),
        16,
        &["keeps for itself"],
    );
}

#[test]
fn what_is_replaced_as_a_whole_keeps_nothing_and_that_is_refused() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "first");
    let copy = |flags: &[&str]| {
        let (from, to) = (format!("{}/", text(&volume.source("set"))), text(&volume.dest("link")));
        run(BIN, &[flags, &[&from, &to]].concat())
    };
    assert_done(&copy(&["--publish=symlink"]));
    write(&volume.dest("link/a"), "edited");
    write(&volume.source("set/b"), "second");
    for policy in ["--existing=keep", "--existing=seed"] {
        assert_refused(&copy(&[policy]), 2, &["replaced as a whole"]);
        assert_eq!(fs::read_to_string(volume.dest("link/a")).unwrap(), "edited");
    }
}

#[test]
fn with_proof_by_digest_new_times_are_no_change() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "first");
    write(&volume.source("set/stale"), "first");
    std::os::unix::fs::symlink("a", volume.source("set/link")).unwrap();
    let flags = |policy: &'static str| ["--proof=digest", policy];
    assert_done(&copy(&volume, &flags("--existing=keep")));
    let touch = || {
        for name in ["a", "stale"] {
            let mode = fs::metadata(volume.dest(name)).unwrap().permissions().mode();
            fs::set_permissions(volume.dest(name), fs::Permissions::from_mode(mode ^ 0o040)).unwrap();
        }
        let now = rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
            last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, volume.dest("link"), &now, flags).unwrap();
    };
    touch();
    let again = copy(&volume, &flags("--existing=fail"));
    assert_done(&again);
    assert!(code_and_stderr(&again).1.contains("nothing to do"), "{again:?}");
    write(&volume.source("set/a"), "second");
    assert_done(&copy(&volume, &flags("--existing=keep")));
    assert_eq!(fs::read_to_string(volume.dest("a")).unwrap(), "second");
    touch();
    fs::remove_file(volume.source("set/stale")).unwrap();
    assert_done(&copy(&volume, &[&flags("--existing=keep")[..], &["--prune"]].concat()));
    assert_eq!(volume.names(), ["a", "link"]);
    // A link that leads elsewhere, and a file in the place of a link with its very words, are changes.
    for change in [
        (|path| std::os::unix::fs::symlink("b", path).unwrap()) as fn(&Path),
        |path| fs::write(path, "a").unwrap(),
    ] {
        fs::remove_file(volume.dest("link")).unwrap();
        change(&volume.dest("link"));
        assert_refused(&copy(&volume, &flags("--existing=fail")), 16, &["/link"]);
    }
}

#[test]
fn something_else_in_the_place_of_a_directory_or_file_stays_too() {
    for policy in ["--existing=keep", "--existing=seed"] {
        let volume = Volume::new();
        for name in ["dir/inner", "file"] {
            write(&volume.source("set").join(name), "first");
        }
        assert_done(&copy(&volume, &[policy]));
        fs::rename(volume.dest("dir"), volume.dest("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", volume.dest("dir")).unwrap();
        fs::remove_file(volume.dest("file")).unwrap();
        fs::create_dir(volume.dest("file")).unwrap();
        for name in ["dir/inner", "file", "fresh"] {
            write(&volume.source("set").join(name), "second");
        }
        let output = copy(&volume, &[policy]);
        assert_done(&output);
        assert!(
            code_and_stderr(&output).1.contains("left what was not put there"),
            "{policy}"
        );
        assert_eq!(fs::read_to_string(volume.dest("dir/inner")).unwrap(), "first");
        assert!(volume.dest("file").is_dir());
        assert_eq!(fs::read_to_string(volume.dest("fresh")).unwrap(), "second");
    }
}

#[test]
fn without_a_receipt_what_needs_one_is_refused() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "first");
    for flag in ["--prune", "--proof=digest", "--existing=seed", "--existing=fail"] {
        assert_refused(&copy(&volume, &["--receipt=off", flag]), 2, &["without a receipt"]);
    }
    for flags in [&["--receipt=off"][..], &["--receipt=off", "--existing=keep"]] {
        assert_done(&copy(&volume, flags));
    }
    let again = copy(&volume, &["--receipt=off"]);
    assert!(!code_and_stderr(&again).1.contains("not put there"), "{again:?}");
}

#[test]
fn one_receipt_is_for_one_destination() {
    let volume = Volume::new();
    write(&volume.source("set/a"), "first");
    let receipt = format!("--receipt={}", text(&volume.dir.path().join("receipt")));
    let copy = |dest: &Path| {
        let from = format!("{}/", text(&volume.source("set")));
        run(BIN, &[&receipt, &from, &format!("{}/", text(dest))])
    };
    assert_done(&copy(&volume.dest("one")));
    assert_done(&copy(&volume.dest("one")));
    fs::create_dir_all(volume.dest("three")).unwrap();
    assert_refused(&copy(&volume.dest("three")), 16, &["is of", "its own --receipt"]);
    // The same one under another name.
    fs::rename(volume.dest("one"), volume.dest("renamed")).unwrap();
    assert_done(&copy(&volume.dest("renamed")));
}

#[test]
fn what_is_behind_something_missing_is_looked_at_in_its_own_place() {
    for (policy, code) in [("keep", 0), ("fail", 16)] {
        let volume = Volume::new();
        for name in ["set/a/b/c", "set/q", "set/z/f"] {
            fs::create_dir_all(volume.source(name).parent().unwrap()).unwrap();
            write(&volume.source(name), "1");
        }
        let flag = format!("--existing={policy}");
        assert_done(&copy(&volume, &[&flag]));
        fs::remove_dir_all(volume.dest("a/b")).unwrap();
        write(&volume.dest("q"), "edited");
        let output = copy(&volume, &[&flag]);
        assert_eq!(output.status.code(), Some(code), "{policy}: {output:?}");
        assert_eq!(fs::read_to_string(volume.dest("q")).unwrap(), "edited", "{policy}");
        assert_eq!(volume.dest("a/b/c").exists(), policy == "keep");
    }
}

#[test]
fn a_receipt_elsewhere_is_of_one_destination_and_no_target() {
    let volume = Volume::new();
    write(&volume.source("set/f"), "f");
    let (first, second) = (text(&volume.dest("first/")), text(&volume.dest("second/")));
    let from = format!("{}/", text(&volume.source("set")));
    let elsewhere = format!("--receipt={}", text(&volume.dir.path().join("receipt")));
    assert_done(&run(BIN, &[&elsewhere, &from, &first]));
    assert_refused(&run(BIN, &[&elsewhere, &from, &second]), 16, &["is of"]);
    assert!(!volume.dest("second").exists());
    assert_done(&run(BIN, &["verify", &elsewhere, &first]));
    // The same name in another working directory is another one.
    let relative = |dir: &str| {
        fs::create_dir_all(volume.dest(dir)).unwrap();
        let mut command = testbed::process::command(BIN);
        let receipt = format!("--receipt={}", text(&volume.dir.path().join("relative")));
        command
            .args([&receipt, &from, "d/"])
            .current_dir(volume.dest(dir))
            .output()
            .unwrap()
    };
    assert_done(&relative("here"));
    assert_refused(&relative("there"), 16, &["is of"]);
    let target = format!("--receipt={}f", first);
    assert_refused(&run(BIN, &[&target, &from, &first]), 16, &["where the content goes"]);
    assert_eq!(fs::read_to_string(volume.dest("first/f")).unwrap(), "f");
}

#[test]
fn what_is_gone_from_the_source_is_gone_from_what_is_replaced_as_a_whole() {
    for way in ["exchange", "symlink"] {
        let volume = Volume::new();
        write(&volume.source("set/a"), "a");
        write(&volume.source("set/b"), "b");
        let (from, to) = (format!("{}/", text(&volume.source("set"))), text(&volume.dest("whole")));
        let flag = format!("--publish={way}");
        assert_done(&run(BIN, &[&flag, &from, &to]));
        fs::remove_file(volume.source("set/b")).unwrap();
        assert_done(&run(BIN, &[&flag, &from, &to]));
        assert!(!volume.dest("whole/b").exists(), "{way}");
        let again = run(BIN, &[&flag, &from, &to]);
        assert!(code_and_stderr(&again).1.contains("nothing to do"), "{way}");
    }
}

#[test]
fn without_all_of_the_receipt_nothing_that_is_to_be_spared_is_touched() {
    for (flags, code) in [
        (&["--existing=keep"][..], 16),
        (&["--existing=seed"], 16),
        (&["--existing=fail"], 16),
        (&["--prune"], 16),
        (&[], 0),
    ] {
        let volume = Volume::new();
        write(&volume.source("set/a"), "1");
        write(&volume.source("set/b"), "1");
        assert_done(&copy(&volume, flags));
        let receipt = volume.dest(".init-copy.receipt");
        let broken = fs::read_to_string(&receipt).unwrap().replace("\nf\tb\t", "\nx\tb\t");
        fs::write(&receipt, &broken).unwrap();
        write(&volume.source("set/a"), "2");
        let output = copy(&volume, flags);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {output:?}");
        if code != 0 {
            assert_refused(&output, code, &["cannot be read to its end", "remove it"]);
            assert_eq!(fs::read_to_string(volume.dest("a")).unwrap(), "1");
            assert_eq!(fs::read_to_string(&receipt).unwrap(), broken);
        }
    }
}

#[test]
fn a_receipt_elsewhere_knows_what_stands_there_until_that_is_replaced() {
    for way in ["exchange", "symlink"] {
        let volume = Volume::new();
        write(&volume.source("set/a"), "1");
        let (from, to) = (format!("{}/", text(&volume.source("set"))), text(&volume.dest("whole")));
        let receipt = volume.dir.path().join("receipt");
        let (flag, elsewhere) = (format!("--publish={way}"), format!("--receipt={}", text(&receipt)));
        assert_done(&run(BIN, &[&flag, &elsewhere, &from, &to]));
        let before = fs::read(&receipt).unwrap();
        write(&volume.source("set/a"), "22");
        assert_done(&run(BIN, &[&flag, &elsewhere, &from, &to]));
        assert_done(&run(BIN, &["verify", &elsewhere, &to]));
        assert_ne!(fs::read(&receipt).unwrap(), before, "{way}");
        assert!(
            code_and_stderr(&run(BIN, &[&flag, &elsewhere, &from, &to]))
                .1
                .contains("nothing to do")
        );
    }
}
