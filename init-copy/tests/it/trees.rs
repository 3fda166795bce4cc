//! Trees as they are: deep, closed, with links, with special bits; and two steps with one path.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use testbed::process::{code_and_stderr, run};

use crate::{BIN, Volume, as_nobody, assert_done, assert_refused, text};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_tree_may_be_as_deep_as_a_path_is_long() {
    let volume = Volume::new();
    for depth in [127, 128, 129, 600] {
        let top = volume.source(&format!("deep-{depth}"));
        let bottom: PathBuf = std::iter::once(top.clone())
            .chain((0..depth).map(|_| PathBuf::from("d")))
            .collect();
        fs::create_dir_all(&bottom).unwrap();
        fs::write(bottom.join("f"), "deep").unwrap();
        symlink("f", bottom.join("l")).unwrap();
        assert_done(&run(BIN, &["--durability=none", &text(&top), &text(&volume.dest(""))]));
        let copy = volume.dest(&text(bottom.strip_prefix(volume.source("")).unwrap()));
        assert_eq!(fs::read_to_string(copy.join("l")).unwrap(), "deep");
        let again = run(BIN, &["--durability=none", &text(&top), &text(&volume.dest(""))]);
        assert!(code_and_stderr(&again).1.contains("nothing to do"));
    }
}

#[test]
fn a_closed_tree_is_copied_and_goes_on_being_closed() {
    let volume = Volume::new();
    let tree = volume.source("closed");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/f"), "1").unwrap();
    for dir in ["a/b", "a", ""] {
        chmod(&tree.join(dir), 0o555);
    }
    fs::create_dir_all(volume.dest("sub")).unwrap();
    let (from, to) = (text(&tree), text(&volume.dest("sub/")));
    let flags = ["--preserve=mode", &from, &to];
    assert_done(&as_nobody(&volume, &flags));
    let copy = volume.dest("sub/closed");
    assert_eq!(["", "a", "a/b"].map(|dir| mode(&copy.join(dir))), [0o555; 3]);

    // New in the source, into directories that are closed by now.
    for dir in ["", "a", "a/b"] {
        chmod(&tree.join(dir), 0o755);
    }
    fs::create_dir(tree.join("a/new")).unwrap();
    fs::write(tree.join("a/b/g"), "2").unwrap();
    fs::remove_file(tree.join("a/f")).unwrap();
    for dir in ["a/b", "a/new", "a", ""] {
        chmod(&tree.join(dir), 0o555);
    }
    assert_done(&as_nobody(&volume, &["--preserve=mode", "--prune", &from, &to]));
    assert_eq!(fs::read_to_string(copy.join("a/b/g")).unwrap(), "2");
    assert!(!copy.join("a/f").exists());
    assert_eq!(["", "a", "a/b", "a/new"].map(|dir| mode(&copy.join(dir))), [0o555; 4]);
    assert!(code_and_stderr(&as_nobody(&volume, &flags)).1.contains("nothing to do"));
    for dir in ["a", "a/b", "a/new"] {
        for top in [&tree, &copy] {
            chmod(&top.join(dir), 0o755);
        }
    }
}

#[test]
fn what_the_source_closed_to_others_stays_closed() {
    let volume = Volume::new();
    for (name, bits, copied) in [
        ("open", 0o755, 0o755),
        ("wide", 0o777, 0o755),
        ("group", 0o750, 0o750),
        ("owner", 0o700, 0o700),
        ("odd", 0o705, 0o705),
        ("searchable", 0o711, 0o755),
    ] {
        let dir = volume.source("dirs").join(name);
        fs::create_dir_all(&dir).unwrap();
        chmod(&dir, bits);
        let mut command = testbed::process::command("/bin/sh");
        command.args([
            "-c",
            "umask 022; exec \"$0\" \"$@\"",
            BIN,
            &text(&dir),
            &text(&volume.dest("")),
        ]);
        assert_done(&command.output().unwrap());
        assert_eq!(mode(&volume.dest(name)), copied, "{name}");
    }
}

#[test]
fn special_bits_are_kept_with_the_mode() {
    let volume = Volume::new();
    let tree = volume.source("bits");
    fs::create_dir_all(tree.join("shared")).unwrap();
    fs::create_dir_all(tree.join("drop")).unwrap();
    fs::write(tree.join("tool"), "x").unwrap();
    chmod(&tree.join("tool"), 0o4755);
    chmod(&tree.join("shared"), 0o2775);
    chmod(&tree.join("drop"), 0o1777);
    let bits = |dest: &str| ["tool", "shared", "drop"].map(|name| mode(&volume.dest(dest).join(name)));
    assert_done(&run(BIN, &["--preserve=mode", &text(&tree), &text(&volume.dest(""))]));
    assert_eq!(bits("bits"), [0o4755, 0o2775, 0o1777]);
    assert_done(&run(
        BIN,
        &[&format!("{}/", text(&tree)), &text(&volume.dest("plain/"))],
    ));
    assert_eq!(
        bits("plain")[0] & 0o6000,
        0,
        "without being asked, nothing runs as another user"
    );
}

#[test]
fn links_of_a_tree_are_kept_followed_made_relative_or_refused() {
    let volume = Volume::new();
    let tree = volume.source("cm");
    fs::create_dir_all(tree.join("..2026_11_25")).unwrap();
    fs::write(tree.join("..2026_11_25/app.conf"), "a").unwrap();
    symlink("..2026_11_25", tree.join("..data")).unwrap();
    symlink("..data/app.conf", tree.join("app.conf")).unwrap();
    symlink("/etc/hostname", tree.join("out")).unwrap();
    let (from, to) = (format!("{}/", text(&tree)), |name: &str| text(&volume.dest(name)));
    assert_done(&run(BIN, &[&from, &to("kept/")]));
    assert_eq!(
        fs::read_link(volume.dest("kept/out")).unwrap(),
        Path::new("/etc/hostname")
    );
    assert_done(&run(BIN, &["--links=follow", "--exclude=..*", &from, &to("plain/")]));
    assert_eq!(fs::read_to_string(volume.dest("plain/app.conf")).unwrap(), "a");
    for name in ["app.conf", "out"] {
        assert!(
            fs::symlink_metadata(volume.dest("plain").join(name)).unwrap().is_file(),
            "{name}"
        );
    }
    assert!(
        code_and_stderr(&run(BIN, &["--links=follow", "--exclude=..*", &from, &to("plain/")]))
            .1
            .contains("nothing to do")
    );
    assert_done(&run(BIN, &["--links=relative", &from, &to("relative/")]));
    assert_eq!(
        fs::read_link(volume.dest("relative/out")).unwrap(),
        Path::new("etc/hostname")
    );
    assert_refused(
        &run(BIN, &["--links=refuse", &from, &to("refused/")]),
        18,
        &["out leads out of", "--links keep"],
    );
    assert!(!volume.dest("refused").exists());
    symlink("..", tree.join("loop")).unwrap();
    assert_refused(
        &run(BIN, &["--links=follow", &from, &to("loop/")]),
        10,
        &["leads to a directory that it is in"],
    );
}

#[test]
fn cp_follows_links_when_told_so() {
    let volume = Volume::new();
    symlink("tree", volume.source("link")).unwrap();
    let cp = |flags: &str, from: &str, to: &str| {
        assert_done(&run(
            BIN,
            &["cp", flags, &text(&volume.source(from)), &text(&volume.dest(to))],
        ));
    };
    let is_link = |name: &str| fs::symlink_metadata(volume.dest(name)).unwrap().is_symlink();
    cp("-a", "link", "as-link");
    assert!(is_link("as-link"));
    cp("-a", "link/", "as-tree");
    assert!(!is_link("as-tree") && is_link("as-tree/link"));
    cp("-rH", "link", "named");
    assert!(!is_link("named") && is_link("named/link"));
    cp("-rL", "link", "all");
    assert!(!is_link("all") && !is_link("all/link"));
    fs::write(volume.dest("there"), "there").unwrap();
    cp("-n", "sample.war", "there");
    assert_eq!(fs::read_to_string(volume.dest("there")).unwrap(), "there");
    cp("-u", "sample.war", "there");
    assert_eq!(
        fs::read_to_string(volume.dest("there")).unwrap(),
        "there",
        "it is newer"
    );
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options()
        .write(true)
        .open(volume.dest("there"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    cp("-u", "sample.war", "there");
    assert_eq!(fs::metadata(volume.dest("there")).unwrap().len(), 300_000);
}

#[test]
fn of_two_steps_with_one_path_the_last_one_wins_and_nothing_is_copied_again() {
    for prune in [true, false] {
        overlaid(prune);
    }
}

fn overlaid(prune: bool) {
    let volume = Volume::new();
    for (name, file, content) in [("base", "a", "base"), ("base", "b", "base"), ("top", "a", "top")] {
        fs::create_dir_all(volume.source(name)).unwrap();
        fs::write(volume.source(name).join(file), content).unwrap();
    }
    let config = volume.dir.path().join("steps.yaml");
    let step = |name: &str| {
        format!(
            "  {name}: {{source: {}/, dest: {}, prune: {prune}}}\n",
            text(&volume.source(name)),
            text(&volume.dest(""))
        )
    };
    fs::write(&config, format!("steps:\n{}{}", step("base"), step("top"))).unwrap();
    let run = || {
        let output = run(BIN, &["--config", &text(&config)]);
        assert_done(&output);
        code_and_stderr(&output).1
    };
    let read = |name: &str| fs::read_to_string(volume.dest(name)).unwrap();
    run();
    assert_eq!((read("a"), read("b")), ("top".into(), "base".into()));
    for _ in 0..2 {
        assert_eq!(run().matches("nothing to do").count(), 2);
    }
    assert_done(&self::run(BIN, &["verify", &text(&volume.dest(""))]));
    // Another version of what is overlaid is put there, and overlaid again.
    fs::write(volume.source("base/a"), "other base").unwrap();
    run();
    assert_eq!(read("a"), "top");
    assert_eq!(run().matches("nothing to do").count(), 2);
    // Without the upper one, the lower one comes back.
    fs::remove_file(volume.source("top/a")).unwrap();
    let said = run();
    assert!(said.contains("the steps are made once more"));
    assert!(!said.contains("was not put there by init-copy"), "{said}");
    assert_eq!(read("a"), "other base");
    assert_eq!(run().matches("nothing to do").count(), 2);
}

#[test]
fn an_owner_that_cannot_be_given_has_a_remedy_that_helps() {
    let volume = Volume::new();
    let (war, to) = (text(&volume.source("sample.war")), text(&volume.dest("")));
    let output = as_nobody(&volume, &["--owner=0:0", &war, &to]);
    assert_refused(&output, 15, &["only root may give files to another user"]);
    assert!(!code_and_stderr(&output).1.contains("fsGroup:"), "{output:?}");
}
