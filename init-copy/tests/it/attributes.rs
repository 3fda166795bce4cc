//! Modes, owners, times, links, holes and extended attributes; `cp -a`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Output;

use testbed::process::{command, run, unprivileged};

use crate::{BIN, Volume, assert_done, assert_refused, text};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn copy(volume: &Volume, options: &[&str], dest: &str) -> Output {
    let (source, dest) = (format!("{}/", text(&volume.source("tree"))), text(&volume.dest(dest)));
    let args: Vec<&str> = options
        .iter()
        .copied()
        .chain([source.as_str(), dest.as_str()])
        .collect();
    run(BIN, &args)
}

#[test]
fn modes_are_those_of_chmod_and_the_destination_keeps_its_own() {
    let volume = Volume::new();
    fs::write(volume.source("tree/run.sh"), "").unwrap();
    fs::set_permissions(volume.source("tree/run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(volume.dest(""), fs::Permissions::from_mode(0o711)).unwrap();
    assert_done(&copy(
        &volume,
        &["--mode", "u=rwX,g=rX,o=", "--dir-mode", "u=rwx,g=rx,o="],
        "",
    ));
    assert_eq!(mode(&volume.dest("run.sh")), 0o750);
    assert_eq!(mode(&volume.dest("conf/app.yaml")), 0o640);
    assert_eq!(mode(&volume.dest("conf")), 0o750);
    assert_eq!(mode(&volume.dest("")), 0o711, "what was there is not touched");
    // Another wish makes entries unproven, directories too.
    assert_done(&copy(&volume, &["--mode", "0400", "--dir-mode", "a=rx"], ""));
    assert_eq!(
        (mode(&volume.dest("run.sh")), mode(&volume.dest("conf"))),
        (0o400, 0o555)
    );
    assert_done(&copy(&volume, &["--mode", "0400", "--dir-mode", "a=rx"], ""));
}

#[test]
fn a_directory_that_somebody_else_made_keeps_its_mode() {
    let volume = Volume::new();
    fs::create_dir(volume.dest("conf")).unwrap();
    fs::set_permissions(volume.dest("conf"), fs::Permissions::from_mode(0o777)).unwrap();
    for _ in 0..2 {
        assert_done(&copy(&volume, &["--dir-mode", "0500"], ""));
    }
    assert_eq!(mode(&volume.dest("conf")), 0o777);
    assert_eq!(mode(&volume.dest("conf/empty")), 0o500);
}

#[test]
fn times_are_now_unless_they_are_to_be_kept() {
    let volume = Volume::new();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
    let file = fs::File::options()
        .write(true)
        .open(volume.source("tree/conf/app.yaml"))
        .unwrap();
    file.set_modified(old).unwrap();
    let modified = |path: &str| fs::metadata(volume.dest(path)).unwrap().modified().unwrap();
    assert_done(&copy(&volume, &[], "now"));
    assert!(modified("now/conf/app.yaml") > old);
    assert_done(&copy(&volume, &["--preserve", "times"], "kept"));
    assert_eq!(modified("kept/conf/app.yaml"), old);
    assert_eq!(
        modified("kept/conf"),
        fs::metadata(volume.source("tree/conf")).unwrap().modified().unwrap()
    );
}

/// Everything that `cp -a` keeps, in one tree.
fn rich_tree(volume: &Volume) {
    let tree = volume.source("tree");
    fs::write(tree.join("first"), vec![1; 100_000]).unwrap();
    fs::create_dir(tree.join("deep")).unwrap();
    fs::hard_link(tree.join("first"), tree.join("deep/second")).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 5000], 32 << 20).unwrap();
    fs::set_permissions(tree.join("deep"), fs::Permissions::from_mode(0o550)).unwrap();
    std::os::unix::fs::symlink("/nowhere", tree.join("dangling")).unwrap();
}

fn assert_alike(source: &Path, copy: &Path) {
    let (a, b) = (
        fs::symlink_metadata(source).unwrap(),
        fs::symlink_metadata(copy).unwrap(),
    );
    let of = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
    assert_eq!(of(&a), of(&b), "{} and {}", source.display(), copy.display());
    if a.is_symlink() {
        assert_eq!(fs::read_link(source).unwrap(), fs::read_link(copy).unwrap());
    } else if a.is_file() {
        assert!(
            fs::read(source).unwrap() == fs::read(copy).unwrap(),
            "{}",
            copy.display()
        );
    } else {
        let names = |dir: &Path| {
            let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.retain(|name| name != ".init-copy.receipt");
            names.sort();
            names
        };
        assert_eq!(names(source), names(copy));
        for name in names(source) {
            assert_alike(&source.join(&name), &copy.join(&name));
        }
    }
}

#[test]
fn cp_a_keeps_what_cp_a_keeps() {
    let volume = Volume::new();
    rich_tree(&volume);
    let (tree, dest) = (text(&volume.source("tree")), text(&volume.dest("copy")));
    assert_done(&run(BIN, &["cp", "-a", &tree, &dest]));
    assert_alike(&volume.source("tree"), &volume.dest("copy"));
    let ino = |name: &str| fs::metadata(volume.dest(name)).unwrap().ino();
    assert_eq!(
        ino("copy/first"),
        ino("copy/deep/second"),
        "hard links are hard links again"
    );
    let sparse = fs::metadata(volume.dest("copy/sparse")).unwrap();
    assert!(
        sparse.blocks() * 512 < 1 << 20,
        "{} blocks: holes stay holes",
        sparse.blocks()
    );
    assert_eq!(sparse.size(), 64 << 20);
    // As with cp, the second time it goes below.
    assert_done(&run(BIN, &["cp", "-a", &tree, &dest]));
    assert_alike(&volume.source("tree"), &volume.dest("copy/tree"));
    assert!(!volume.dest(".init-copy.receipt").exists() && !volume.dest("copy/.init-copy.receipt").exists());
    // With a receipt, which cp leaves only where it was asked for, another time does nothing.
    let kept = format!("--receipt={}", text(&volume.dir.path().join("receipt")));
    assert_done(&run(BIN, &["cp", "-a", &kept, &tree, &dest]));
    let again = run(BIN, &["cp", "-a", &kept, &tree, &dest]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing to do"));
}

#[test]
fn a_repaired_hard_link_is_one_again() {
    let volume = Volume::new();
    rich_tree(&volume);
    assert_done(&copy(&volume, &[], ""));
    fs::remove_file(volume.dest("deep/second")).unwrap();
    assert_done(&copy(&volume, &[], ""));
    let ino = |name: &str| fs::metadata(volume.dest(name)).unwrap().ino();
    assert_eq!(ino("first"), ino("deep/second"));
    assert!(String::from_utf8_lossy(&copy(&volume, &[], "").stderr).contains("nothing to do"));
}

#[test]
fn extended_attributes_are_kept_where_there_are_any() {
    let volume = Volume::new();
    let path = volume.source("tree/conf/app.yaml");
    match rustix::fs::setxattr(&path, "user.note", b"kept", rustix::fs::XattrFlags::empty()) {
        Err(rustix::io::Errno::OPNOTSUPP) => return,
        other => other.unwrap(),
    }
    assert_done(&copy(&volume, &["--preserve", "xattrs"], "with"));
    assert_done(&copy(&volume, &[], "without"));
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(volume.dest("with/conf/app.yaml"), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"kept");
    let absent = rustix::fs::getxattr(volume.dest("without/conf/app.yaml"), "user.note", &mut value);
    assert_eq!(absent, Err(rustix::io::Errno::NODATA));
}

#[test]
fn an_owner_that_cannot_be_kept_is_one_warning_and_one_that_was_asked_for_an_error() {
    let volume = Volume::new();
    fs::set_permissions(volume.dest(""), fs::Permissions::from_mode(0o777)).unwrap();
    if fs::metadata(volume.source("")).unwrap().uid() != 0 {
        // Then everything is ours already, and nothing can go wrong.
        return;
    }
    let as_nobody = |options: &[&str], dest: &str| {
        let mut command = unprivileged(BIN, volume.dir.path());
        command
            .args(options)
            .args([volume.source("tree"), volume.dest(dest)])
            .output()
            .unwrap()
    };
    let output = as_nobody(&["cp", "-a"], "");
    assert_done(&output);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(log.matches("were not kept").count(), 1, "{log}");
    assert_refused(
        &as_nobody(&["--owner", "0:0"], "other"),
        15,
        &["cannot set the attributes of"],
    );
    assert!(!volume.dest("other").exists());
}

#[test]
fn cp_means_what_cp_means() {
    let volume = Volume::new();
    let (war, tree) = (text(&volume.source("sample.war")), text(&volume.source("tree/")));
    let dest = |name: &str| text(&volume.dest(name));
    fs::create_dir(volume.dest("dir")).unwrap();
    assert_done(&run(BIN, &["cp", &war, &dest("dir")]));
    assert_done(&run(BIN, &["cp", "-r", &tree, &dest("dir")]));
    assert!(
        volume.dest("dir/tree/conf/app.yaml").exists(),
        "a slash behind a source says nothing to cp"
    );
    assert_done(&run(BIN, &["cp", "-R", "-p", "-f", &format!("{tree}."), &dest("dot")]));
    assert!(volume.dest("dot/conf/app.yaml").exists());
    assert_done(&run(BIN, &["cp", "-rt", &dest("dir"), &war, &tree]));
    assert_done(&run(BIN, &["cp", "-aT", &tree, &dest("dir/whole")]));
    assert_done(&run(BIN, &["cp", "-aT", &tree, &dest("dir/whole")]));
    assert!(!volume.dest("dir/whole/tree").exists());
    assert_refused(
        &run(BIN, &["cp", &tree, &dest("dir")]),
        2,
        &["is a directory: give -r or -a"],
    );
    assert_refused(&run(BIN, &["cp", &war]), 2, &["SRC"]);
    for refused in ["-b", "-i", "-l", "-s", "--parents"] {
        assert_refused(&run(BIN, &["cp", refused, &war, &dest("x")]), 2, &[refused]);
    }
    // As in a ConfigMap: a named link is followed, unless directories are copied too.
    std::os::unix::fs::symlink("sample.war", volume.source("link.war")).unwrap();
    let link = text(&volume.source("link.war"));
    assert_done(&run(BIN, &["cp", &link, &dest("followed.war")]));
    assert!(fs::symlink_metadata(volume.dest("followed.war")).unwrap().is_file());
    assert_done(&run(BIN, &["cp", "-a", &link, &dest("kept.war")]));
    assert!(fs::symlink_metadata(volume.dest("kept.war")).unwrap().is_symlink());
    fs::set_permissions(volume.source("tree/conf"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_done(&run(BIN, &["cp", "-r", &tree, &dest("new/")]));
    assert_eq!(
        mode(&volume.dest("new/conf")),
        0o700,
        "a slash behind a DEST that is not there says nothing"
    );
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(volume.source("sample.war"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    assert_done(&run(BIN, &["cp", "--preserve=timestamps", &war, &dest("old.war")]));
    assert_eq!(fs::metadata(volume.dest("old.war")).unwrap().modified().unwrap(), old);
}

#[test]
fn through_a_link_called_cp_it_is_cp() {
    let volume = Volume::new();
    let cp = volume.dir.path().join("cp");
    std::os::unix::fs::symlink(BIN, &cp).unwrap();
    let output = command(&text(&cp))
        .args(["-a", &text(&volume.source("tree")), &text(&volume.dest("copy"))])
        .output()
        .unwrap();
    assert_done(&output);
    assert_alike(&volume.source("tree"), &volume.dest("copy"));
}
