//! One file that is packed by itself.

use std::fs;

use testbed::process::{code_and_stderr, run};

use super::tar_writer::{member, tar};
use super::{bzip2, gzip, noise, xz, zstd};
use crate::web::{Site, fetch, sha256};
use crate::{BIN, Volume, assert_done, assert_refused, text};

type Pack = fn(&[u8]) -> Vec<u8>;
const PACKINGS: [(&str, Pack); 4] = [("gz", gzip), ("zst", zstd), ("xz", xz), ("bz2", bzip2)];

#[test]
fn it_is_unpacked_under_its_name() {
    let content = noise(300_000);
    for (ending, pack) in PACKINGS {
        let volume = Volume::new();
        let source = volume.source(&format!("dump.sql.{ending}"));
        fs::write(&source, pack(&content)).unwrap();
        let copy = |flag: &str| run(BIN, &[flag, &text(&source), &text(&volume.dest(""))]);
        assert_done(&copy("--unpack"));
        assert_eq!(volume.names(), ["dump.sql"]);
        assert!(fs::read(volume.dest("dump.sql")).unwrap() == content, "{ending}");
        assert!(
            code_and_stderr(&copy("--unpack")).1.contains("nothing to do"),
            "{ending}"
        );
        // Cut anywhere, it is refused, and what was there stays.
        let packed = pack(&content);
        for length in [0, 1, 100, packed.len() / 2, packed.len() - 5, packed.len() - 1] {
            fs::write(&source, &packed[..length]).unwrap();
            assert_refused(&copy(&format!("--unpack={ending}")), 18, &["damaged"]);
        }
        assert!(fs::read(volume.dest("dump.sql")).unwrap() == content, "{ending}");
    }
}

#[test]
fn several_streams_are_one_file_and_an_empty_one_is_empty() {
    for (ending, pack) in PACKINGS {
        for (parts, content) in [(&[&b"one"[..], b"two"][..], "onetwo"), (&[b""], "")] {
            let volume = Volume::new();
            let source = volume.source(&format!("x.{ending}"));
            fs::write(&source, parts.iter().flat_map(|part| pack(part)).collect::<Vec<_>>()).unwrap();
            assert_done(&run(BIN, &["--unpack", &text(&source), &text(&volume.dest(""))]));
            assert_eq!(fs::read_to_string(volume.dest("x")).unwrap(), content, "{ending}");
        }
    }
}

#[test]
fn a_page_in_place_of_a_tar_is_still_refused_and_a_tar_can_be_taken_as_a_file() {
    for (ending, pack) in PACKINGS {
        let volume = Volume::new();
        let source = volume.source(&format!("app.tar.{ending}"));
        fs::write(&source, pack(&b"<html>not found</html>".repeat(100))).unwrap();
        let copy = |flag: &str| run(BIN, &[flag, &text(&source), &text(&volume.dest(""))]);
        assert_refused(&copy("--unpack"), 18, &["refused"]);
        fs::write(&source, pack(&tar(&[member("a", b'0', "a")]))).unwrap();
        assert_done(&copy(&format!("--unpack={ending}")));
        assert_eq!(volume.names(), ["app.tar"]);
    }
}

#[test]
fn its_size_and_ratio_have_limits() {
    for (ending, pack) in PACKINGS {
        let volume = Volume::new();
        let source = volume.source(&format!("zeros.{ending}"));
        let unpack = |flags: &[&str]| {
            let (from, to) = (text(&source), text(&volume.dest("")));
            run(BIN, &[flags, &["--unpack", &from, &to]].concat())
        };
        fs::write(&source, pack(&vec![0; (16 << 20) + 1])).unwrap();
        assert_refused(&unpack(&[]), 18, &["more than 200 times its size"]);
        for (bytes, code) in [(99_999, 14), (100_000, 0), (100_001, 0)] {
            fs::write(&source, pack(&vec![0; 100_000])).unwrap();
            let output = unpack(&[&format!("--max-bytes={bytes}B")]);
            assert_eq!(output.status.code(), Some(code), "{bytes}: {output:?}");
        }
    }
}

#[test]
fn from_a_server_it_is_named_by_the_url() {
    let packed = gzip(b"model");
    let site = Site::serving(packed.clone());
    let volume = Volume::new();
    let digest = format!("--sha256={}", sha256(&packed));
    assert_done(&fetch(
        &volume,
        &["--unpack", &digest],
        &site.url("/models/model.gguf.gz?signature=x"),
    ));
    assert_eq!(fs::read_to_string(volume.dest("model.gguf")).unwrap(), "model");
    for path in ["/", "/..%2f..%2fx.gz", "/.gz/"] {
        assert_refused(
            &fetch(&Volume::new(), &["--unpack"], &site.url(path)),
            18,
            &["no name for"],
        );
    }
}
