//! The scenarios of `log-sidecar`, and how it and its peer are called in all of them.

pub(super) mod ship;
pub(super) mod steady;

use std::path::Path;

use crate::binaries::Binaries;
use crate::scenario::Program;

fn ours(binaries: &Binaries, files: &str, more: &[&str]) -> Program {
    let words = [
        "--include",
        files,
        "--to",
        "elasticsearch+http://127.0.0.1:{port}/app",
        "--state",
        "{scratch}/state",
        "--admin",
        "off",
    ];
    Program::ours(binaries, "log-sidecar", "log-sidecar", &[&words, more].concat())
}

/// With a position file and ids, as ours; what more there is for the service, its input, its filters and its output.
fn fluent_bit(path: &Path, service: &[&str], input: &[&str], filters: &[&str], output: &[&str]) -> Program {
    let path = path.to_string_lossy();
    let tail = ["-i", "tail", "-p", "read_from_head=true", "-p", "db={scratch}/db"];
    let es = [
        "-o",
        "es",
        "-p",
        "match=*",
        "-p",
        "host=127.0.0.1",
        "-p",
        "port={port}",
        "-p",
        "index=app",
        "-p",
        "generate_id=on",
        "-p",
        "suppress_type_name=on",
        "-p",
        "write_operation=create",
    ];
    let words = [&[&*path, "-q", "-f", "1"], service, &tail, input, filters, &es, output].concat();
    Program::peer("Fluent Bit", &words, &[&path, "--version"])
}
