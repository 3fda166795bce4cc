//! Several steps, waiting, variables, plan, verify, patterns.

use std::fs;
use std::net::TcpListener;

use testbed::http::{Reply, Server};
use testbed::process::{Running, code_and_stderr, command, run};
use testbed::wait;

use crate::{BIN, Volume, assert_done, assert_refused, text};

fn yaml(volume: &Volume, text: &str) -> String {
    let path = volume.dir.path().join("init-copy.yaml");
    let text = text
        .replace("SOURCE", &crate::text(&volume.source("")))
        .replace("DEST", &crate::text(&volume.dest("")));
    fs::write(&path, text).unwrap();
    crate::text(&path)
}

#[test]
fn steps_run_in_the_order_of_the_file_and_are_reported_by_name() {
    let volume = Volume::new();
    let file = yaml(
        &volume,
        "steps:\n  war:\n    source: SOURCE/sample.war\n    dest: DEST/webapps/\n  conf:\n    source: [SOURCE/tree/]\n    dest: DEST/conf/\n    exclude: [empty]\n    mode: u=r\n",
    );
    let output = run(BIN, &["--config", &file]);
    assert_done(&output);
    let (_, log) = code_and_stderr(&output);
    let (war, conf) = (
        log.find("\"step\":\"war\"").unwrap(),
        log.find("\"step\":\"conf\"").unwrap(),
    );
    assert!(war < conf);
    assert_eq!(
        volume.names(),
        [
            "conf",
            "conf/conf",
            "conf/conf/app.yaml",
            "conf/link",
            "webapps",
            "webapps/sample.war"
        ]
    );
}

#[test]
fn a_failing_step_ends_the_run_and_mistakes_in_all_steps_are_told_at_once() {
    let volume = Volume::new();
    let file = yaml(
        &volume,
        "steps:\n  a:\n    source: SOURCE/absent\n    dest: DEST/\n  b:\n    source: SOURCE/sample.war\n    dest: DEST/\n",
    );
    assert_refused(&run(BIN, &["--config", &file]), 10, &["absent"]);
    assert!(volume.names().is_empty());
    let file = yaml(
        &volume,
        "steps:\n  a:\n    source: /x\n    mode: rwx\n  b:\n    dset: /y\n",
    );
    assert_refused(
        &run(BIN, &["check", "--config", &file]),
        2,
        &[":4:11: mode", ":6:5: dset: is not a setting; did you mean dest?"],
    );
    let file = yaml(&volume, "steps:\n  a:\n    source: /x\n    dest: /y\n");
    assert_refused(&run(BIN, &["--config", &file, "--prune"]), 2, &["with steps"]);
}

#[test]
fn patterns_and_exclusions() {
    let volume = Volume::new();
    for name in ["a.jar", "b.jar", "c.txt"] {
        fs::write(volume.source(name), name).unwrap();
    }
    assert_done(&run(BIN, &[&text(&volume.source("*.jar")), &text(&volume.dest(""))]));
    assert_eq!(volume.names(), ["a.jar", "b.jar"]);
    assert_refused(
        &run(BIN, &[&text(&volume.source("*.war.bak")), &text(&volume.dest(""))]),
        10,
        &["matches nothing"],
    );
    assert_done(&run(
        BIN,
        &[
            "--exclude",
            "*.txt,empty",
            &text(&volume.source("")),
            &text(&volume.dest("all/")),
        ],
    ));
    assert!(
        !volume
            .names()
            .iter()
            .any(|name| name.ends_with(".txt") || name.ends_with("empty")),
        "{:?}",
        volume.names()
    );
}

#[test]
fn variables_are_put_in_and_a_changed_value_is_a_change() {
    let volume = Volume::new();
    fs::write(
        volume.source("tree/conf/app.yaml"),
        "url: ${DB_HOST}:${DB_PORT:-5432}\n",
    )
    .unwrap();
    fs::write(volume.source("tree/plain"), "${DB_HOST}").unwrap();
    let copy = |host: &str| {
        let mut command = command(BIN);
        command.args([
            "--substitute",
            "*.yaml",
            &text(&volume.source("tree")),
            &text(&volume.dest("")),
        ]);
        command.env("DB_HOST", host).output().unwrap()
    };
    assert_done(&copy("db.example"));
    let rendered = || fs::read_to_string(volume.dest("tree/conf/app.yaml")).unwrap();
    assert_eq!(rendered(), "url: db.example:5432\n");
    assert_eq!(fs::read_to_string(volume.dest("tree/plain")).unwrap(), "${DB_HOST}");
    assert!(code_and_stderr(&copy("db.example")).1.contains("nothing to do"));
    assert_done(&copy("other.example"));
    assert_eq!(rendered(), "url: other.example:5432\n");
}

#[test]
fn an_unset_variable_is_named_with_its_place_before_anything_is_written() {
    let volume = Volume::new();
    fs::write(volume.source("tree/conf/app.yaml"), "a: 1\nurl: ${NO_SUCH_VARIABLE}\n").unwrap();
    let args = [
        "--substitute",
        "*.yaml",
        &text(&volume.source("tree")),
        &text(&volume.dest("")),
    ];
    assert_refused(
        &run(BIN, &args),
        10,
        &["app.yaml:2:6: the variable NO_SUCH_VARIABLE is not set"],
    );
    assert!(volume.names().is_empty());
    let args = [
        "--substitute",
        "*.war",
        &text(&volume.source("sample.war")),
        &text(&volume.dest("")),
    ];
    fs::write(volume.source("sample.war"), b"PK\0\0").unwrap();
    assert_refused(&run(BIN, &args), 10, &["binary"]);
}

#[test]
fn waiting_ends_when_all_conditions_hold_and_tells_each_change_once() {
    let volume = Volume::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ready = text(&volume.dest("ready"));
    let (tcp, file) = (format!("tcp://127.0.0.1:{port}"), format!("file:{ready}"));
    let server = Server::start("127.0.0.1:0", |_| Reply::text(503, "status: UP")).unwrap();
    let http = format!("http://{}/health#status=503&body=UP", server.address());
    let mut waiting = Running::start(
        BIN,
        &["wait", &tcp, &file, &http, "dns://localhost", "--deadline", "30s"],
    );
    waiting.wait_for_log("holds");
    waiting.wait_for_log("refused");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    fs::write(&ready, "").unwrap();
    assert_eq!(waiting.exit().code(), Some(0));
    let told = |condition: &str, word: &str| {
        let has = |line: &&String| line.contains(condition) && line.contains(word);
        waiting.stderr().iter().filter(has).count()
    };
    assert_eq!(
        (
            told(&tcp, "waiting"),
            told(&tcp, "holds"),
            told(&file, "waiting"),
            told("dns://localhost", "holds")
        ),
        (1, 1, 1, 1)
    );
}

#[test]
fn a_deadline_names_what_is_missing() {
    let volume = Volume::new();
    let absent = format!("file:{}", text(&volume.dest("absent")));
    assert_refused(
        &run(BIN, &["wait", &absent, "--deadline", "200ms"]),
        17,
        &["deadline of 200ms", "absent"],
    );
    let copy = [
        "--wait-for",
        &absent,
        "--deadline",
        "200ms",
        &text(&volume.source("sample.war")),
        &text(&volume.dest("")),
    ];
    assert_refused(&run(BIN, &copy), 17, &["absent"]);
    assert!(volume.names().is_empty());
    assert_refused(&run(BIN, &["wait"]), 2, &["at least one condition"]);
    assert_refused(&run(BIN, &["wait", "db:5432"]), 2, &["CONDITION...", "tcp://HOST:PORT"]);
}

#[test]
fn verify_finds_every_difference() {
    let volume = Volume::new();
    let dest = text(&volume.dest(""));
    assert_refused(&run(BIN, &["verify", &dest]), 10, &["has no receipt"]);
    assert_done(&run(
        BIN,
        &[
            "--proof",
            "digest",
            &text(&volume.source("sample.war")),
            &text(&volume.source("tree")),
            &dest,
        ],
    ));
    assert_done(&run(BIN, &["verify", &dest]));
    assert_done(&run(BIN, &["verify", "--full", &dest]));
    fs::write(volume.dest("sample.war"), vec![7; 300_000]).unwrap();
    assert_refused(
        &run(BIN, &["verify", &dest]),
        11,
        &["1 of 6 entries", "sample.war: was changed"],
    );
    assert_done(&run(BIN, &["verify", "--full", &dest]));
    fs::write(volume.dest("sample.war"), vec![8; 300_000]).unwrap();
    assert_refused(
        &run(BIN, &["verify", "--full", &dest]),
        11,
        &["sample.war: has other content"],
    );
    fs::write(volume.dest("sample.war"), "short").unwrap();
    fs::remove_dir_all(volume.dest("tree/conf")).unwrap();
    assert_refused(
        &run(BIN, &["verify", &dest]),
        11,
        &[
            "has 5 bytes instead of 300000",
            "tree/conf: is missing",
            "tree/conf/app.yaml: is missing",
            "remedy",
        ],
    );
    assert_refused(&run(BIN, &["verify"]), 2, &["DEST"]);
}

#[test]
fn proof_by_digest_sees_what_looks_the_same() {
    let volume = Volume::new();
    let copy = || {
        run(
            BIN,
            &[
                "--proof",
                "digest",
                &text(&volume.source("sample.war")),
                &text(&volume.dest("")),
            ],
        )
    };
    assert_done(&copy());
    assert!(code_and_stderr(&copy()).1.contains("nothing to do"));
    // Another inode and other times, and the same content: nothing to do either.
    fs::write(volume.source("sample.war"), vec![7; 300_000]).unwrap();
    assert!(code_and_stderr(&copy()).1.contains("nothing to do"));
    fs::write(volume.dest("sample.war"), vec![8; 300_000]).unwrap();
    assert_done(&copy());
    assert_eq!(fs::read(volume.dest("sample.war")).unwrap(), vec![7; 300_000]);
}

#[test]
fn a_digest_is_verified_while_copying() {
    let volume = Volume::new();
    let good = "2f4d9f4ec4d8b1ed5f8e1c1b4d4d3f1a2f4d9f4ec4d8b1ed5f8e1c1b4d4d3f1a";
    let args = [
        "--sha256",
        good,
        &text(&volume.source("sample.war")),
        &text(&volume.dest("")),
    ];
    let output = run(BIN, &args);
    assert_refused(&output, 11, &["sample.war is not what was asked for", good]);
    assert!(volume.names().is_empty());
    let (_, log) = code_and_stderr(&output);
    let found = log.split("its digest is sha256:").nth(1).unwrap()[..64].to_owned();
    let args = [
        "--sha256",
        &found,
        &text(&volume.source("sample.war")),
        &text(&volume.dest("")),
    ];
    assert_done(&run(BIN, &args));
    assert_refused(&run(BIN, &["--sha256", &found, "a", "b", "c"]), 2, &["one source"]);
    assert_refused(&run(BIN, &["--sha256", "abc", "a", "b"]), 2, &["--sha256", "64"]);
    // A digest that is asked for later is not proven by what was copied without it.
    let wrong = [
        "--sha256",
        good,
        &text(&volume.source("sample.war")),
        &text(&volume.dest("")),
    ];
    assert_refused(&run(BIN, &wrong), 11, &["not what was asked for"]);
    fs::write(volume.source("other.war"), "x").unwrap();
    let pattern = [
        "--sha256",
        &found,
        &text(&volume.source("*.war")),
        &text(&volume.dest("")),
    ];
    assert_refused(&run(BIN, &pattern), 2, &["one source, and there are 2"]);
    let oci = ["--sha256", &found, "oci://localhost/a:1", &text(&volume.dest(""))];
    assert_refused(&run(BIN, &oci), 2, &["behind the reference"]);
}

#[test]
fn a_receipt_that_is_damaged_does_not_verify() {
    let volume = Volume::new();
    let dest = text(&volume.dest(""));
    assert_done(&run(BIN, &[&text(&volume.source("tree/")), &dest]));
    let path = volume.dest(".init-copy.receipt");
    let receipt = fs::read_to_string(&path).unwrap();
    let without: Vec<_> = receipt.lines().filter(|line| !line.contains("app.yaml")).collect();
    fs::write(&path, without.join("\n") + "\n").unwrap();
    assert_refused(&run(BIN, &["verify", &dest]), 11, &["the receipt itself"]);
}

#[test]
fn a_file_of_proc_is_refused() {
    let volume = Volume::new();
    assert_refused(
        &run(BIN, &["/proc/version", &text(&volume.dest(""))]),
        10,
        &["whose size is not what it holds"],
    );
    assert!(volume.names().is_empty());
}

#[test]
fn the_plan_says_what_would_be_done_and_changes_nothing() {
    let volume = Volume::new();
    let (source, dest) = (text(&volume.source("tree")), text(&volume.dest("")));
    let plan = || {
        let output = run(BIN, &["plan", "--prune", &source, &dest]);
        assert_done(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let first = plan();
    for words in [
        "1 files, 3 directories, 1 links: 5 B",
        "tree/conf/app.yaml <- ",
        "inodes",
        "volume instead",
    ] {
        assert!(first.contains(words), "{words:?} is not in: {first}");
    }
    assert!(volume.names().is_empty());
    assert_done(&run(BIN, &[&source, &dest]));
    assert!(plan().contains("0 files, 0 directories, 0 links: 0 B"), "{}", plan());
    assert_refused(
        &run(
            BIN,
            &["plan", "--max-bytes", "4B", &source, &text(&volume.dest("new/"))],
        ),
        14,
        &["5 bytes are to be copied"],
    );
    assert_done(&run(
        BIN,
        &["plan", "--max-bytes", "5B", &source, &text(&volume.dest("new/"))],
    ));
}

#[test]
fn what_is_copied_and_how_many_it_are_has_limits() {
    let volume = Volume::new();
    let (source, dest) = (format!("{}/", text(&volume.source("tree"))), text(&volume.dest("")));
    // Five bytes; the root, two directories, a file and a link.
    for (option, value, good) in [
        ("--max-bytes", "4B", false),
        ("--max-bytes", "5B", true),
        ("--max-bytes", "6B", true),
        ("--max-entries", "4", false),
        ("--max-entries", "5", true),
        ("--max-entries", "6", true),
    ] {
        let output = run(BIN, &[option, value, &source, &dest]);
        if good {
            assert_done(&output);
            fs::remove_dir_all(&dest).unwrap();
            fs::create_dir(&dest).unwrap();
        } else {
            assert_refused(&output, 14, &[option]);
            assert!(volume.names().is_empty());
        }
    }
}

#[test]
fn a_signal_is_told_with_its_code_and_a_termination_message() {
    let volume = Volume::new();
    let message = text(&volume.dir.path().join("message"));
    let absent = format!("file:{}", text(&volume.dest("absent")));
    let mut waiting = Running::start(BIN, &["wait", &absent, "--termination-log", &message]);
    waiting.wait_for_log("waiting");
    waiting.terminate();
    assert_eq!(waiting.exit().code(), Some(143));
    let told = fs::read_to_string(message).unwrap();
    assert!(told.contains("stopped by SIGTERM") && told.contains(&absent), "{told}");
}

#[test]
fn told_to_stop_it_leaves_nothing_staged() {
    let volume = Volume::new();
    let many = volume.source("many");
    fs::create_dir(&many).unwrap();
    for n in 0..6000 {
        fs::write(many.join(n.to_string()), n.to_string()).unwrap();
    }
    let large = fs::File::create(volume.source("large")).unwrap();
    large.set_len(1 << 33).unwrap();
    // Read as data by whoever wants its digest.
    for args in [&["--sha256", &"0".repeat(64)][..], &[]] {
        let from = if args.is_empty() {
            &many
        } else {
            &volume.source("large")
        };
        let (from, to) = (text(from), text(&volume.dest("")));
        let stopped = wait::until("a run that is told to stop while it copies", || {
            let mut copying = Running::start(BIN, &[args, &[&from, &to]].concat());
            let has_ended = wait::until("something staged", || {
                let staged = volume.names().iter().any(|name| name.starts_with(".init-copy-"));
                if staged {
                    Some(false)
                } else {
                    copying.has_ended().then_some(true)
                }
            });
            if !has_ended {
                copying.terminate();
            }
            let code = copying.exit().code();
            // It may have been done by then.
            if code == Some(0) {
                fs::remove_dir_all(volume.dest("")).unwrap();
                fs::create_dir(volume.dest("")).unwrap();
            }
            (code != Some(0)).then_some(code)
        });
        assert_eq!(stopped, Some(143));
        assert!(volume.names().is_empty(), "{:?}", volume.names());
    }
}

#[test]
fn killed_while_it_waits_the_reason_is_in_the_termination_message() {
    let volume = Volume::new();
    let (path, file) = (volume.dir.path().join("message"), volume.dest("file"));
    let message = text(&path);
    let (nowhere, absent) = ("dns://no-such-host.invalid", format!("file:{}", text(&file)));
    let read = || fs::read_to_string(&path).unwrap_or_default();
    let waiting = Running::start(BIN, &["wait", nowhere, &absent, "--termination-log", &message]);
    wait::until("the reasons", || read().contains(&absent).then_some(()));
    waiting.kill();
    let told = read();
    assert!(
        told.starts_with("init-copy: killed while waiting for dns://no-such-host.invalid: ")
            && told.contains("No such file"),
        "{told}"
    );
    let mut waiting = Running::start(BIN, &["wait", &absent, "--termination-log", &message]);
    waiting.wait_for_log("waiting");
    fs::write(&file, "").unwrap();
    assert_eq!(waiting.exit().code(), Some(0));
    assert_eq!(read(), "init-copy: done\n", "what it waited for is no reason any more");
}

/// Two steps with the same name at the destination: `a` and `b`, in that order.
fn two(volume: &Volume, order: [&str; 2], sources: [&str; 2], flags: &str) -> String {
    let step = |at: usize| {
        format!(
            "  {}:\n    source: [{}]\n    dest: DEST/\n{flags}",
            order[at], sources[at]
        )
    };
    yaml(volume, &format!("steps:\n{}{}", step(0), step(1)))
}

#[test]
fn the_last_step_wins_also_when_the_order_changes() {
    let volume = Volume::new();
    for (dir, content) in [("a", "A"), ("b", "B")] {
        fs::create_dir(volume.source(dir)).unwrap();
        fs::write(volume.source(dir).join("f"), content).unwrap();
    }
    for (order, wins) in [(["a", "b"], "B"), (["b", "a"], "A"), (["a", "b"], "B")] {
        let sources = order.map(|dir| format!("SOURCE/{dir}/"));
        let file = two(&volume, order, sources.each_ref().map(String::as_str), "");
        assert_done(&run(BIN, &["--config", &file]));
        assert_eq!(fs::read_to_string(volume.dest("f")).unwrap(), wins, "{order:?}");
        let again = run(BIN, &["--config", &file]);
        assert_eq!(
            code_and_stderr(&again).1.matches("nothing to do").count(),
            2,
            "{order:?}"
        );
    }
}

#[test]
fn what_one_step_no_longer_wants_stays_for_the_other_one() {
    let volume = Volume::new();
    for name in ["one/x", "two/z"] {
        fs::create_dir_all(volume.source(name).parent().unwrap()).unwrap();
        fs::write(volume.source(name), name).unwrap();
    }
    let flags = "    prune: true\n";
    let file = two(
        &volume,
        ["a", "b"],
        ["SOURCE/one/", "SOURCE/one/x, SOURCE/two/z"],
        flags,
    );
    for _ in 0..2 {
        assert_done(&run(BIN, &["--config", &file]));
    }
    let file = two(&volume, ["a", "b"], ["SOURCE/one/", "SOURCE/two/z"], flags);
    assert_done(&run(BIN, &["--config", &file]));
    assert_eq!(volume.names(), ["x", "z"]);
    let file = two(&volume, ["a", "b"], ["SOURCE/two/", "SOURCE/two/z"], flags);
    assert_done(&run(BIN, &["--config", &file]));
    assert_eq!(volume.names(), ["z"]);
}

#[test]
fn hard_links_under_another_step_settle_and_are_pruned_together() {
    let volume = Volume::new();
    for dir in ["a", "b"] {
        fs::create_dir(volume.source(dir)).unwrap();
        fs::write(volume.source(dir).join("f"), dir).unwrap();
    }
    fs::hard_link(volume.source("a/f"), volume.source("a/g")).unwrap();
    fs::hard_link(volume.source("a/f"), volume.source("a/h")).unwrap();
    let file = two(&volume, ["a", "b"], ["SOURCE/a/", "SOURCE/b/"], "    prune: true\n");
    assert_done(&run(BIN, &["--config", &file]));
    let again = run(BIN, &["--config", &file]);
    let log = code_and_stderr(&again).1;
    assert_eq!(log.matches("nothing to do").count(), 2, "{log}");
    for name in ["f", "g", "h"] {
        fs::remove_file(volume.source("a").join(name)).unwrap();
    }
    assert_done(&run(BIN, &["--config", &file]));
    assert_eq!(volume.names(), ["f"]);
    assert_eq!(fs::read_to_string(volume.dest("f")).unwrap(), "b");
}

#[test]
fn a_receipt_on_its_way_is_swept_and_is_no_source() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["tree/"], ""));
    fs::write(volume.dest("..init-copy.receipt.tmp-0123abcd"), "left").unwrap();
    let next = volume.dir.path().join("next");
    let copy = || {
        run(
            BIN,
            &[&format!("{}/", text(&volume.dest(""))), &format!("{}/", text(&next))],
        )
    };
    assert_done(&copy());
    assert!(!next.join("..init-copy.receipt.tmp-0123abcd").exists());
    fs::write(next.join("..init-copy.receipt.tmp-0123abcd"), "left").unwrap();
    assert_done(&copy());
    assert!(!next.join("..init-copy.receipt.tmp-0123abcd").exists());
    assert_done(&run(BIN, &["verify", &text(&next)]));
}
