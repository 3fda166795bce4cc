//! A large file of JSON lines into `_bulk` of a server that answers at once: what a line costs.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::error::{During as _, Error};
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::work::sample;
use crate::work::store::Lines;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "ship-bulk",
    kind: Kind::Runs(prepare),
};

/// Of a line, with its end.
const LENGTH: u64 = 240;

/// rsyslog as its documentation has it: one template, bulk mode, a queue in memory.
const RSYSLOG: &str = r#"
global(workDirectory="@SCRATCH@")
module(load="imfile")
module(load="omelasticsearch")
template(name="line" type="list") { constant(value="{") property(name="msg" outname="message" format="jsonf") constant(value="}") }
input(type="imfile" file="@SRC@/app.log" tag="app" ruleset="ship")
ruleset(name="ship") {
  action(type="omelasticsearch" server="127.0.0.1" serverport="@PORT@" template="line" searchIndex="app" searchType=""
         bulkmode="on" maxbytes="1m" action.resumeretrycount="-1"
         queue.type="linkedlist" queue.size="20000" queue.dequeuebatchsize="1000")
}
"#;

fn prepare(place: &Place<'_>) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let (source, expected) = (folder.path().join("source"), folder.path().join("expected"));
    fs::create_dir(&source).during("create", &source)?;
    let mib = place.amount(512, 8);
    let lines = mib * 1024 * 1024 / LENGTH;
    log_file(&source.join("app.log"), lines, &expected)?;
    let conf = source.join("rsyslog.conf");
    fs::write(&conf, RSYSLOG).during("write", &conf)?;
    let mut goals = vec![Goal::cpu_ratio("rsyslog", 0.15)];
    let mut peers = vec![Program::peer(
        "rsyslog",
        &[
            "sh",
            "-c",
            "sed 's|@PORT@|{port}|; s|@SRC@|{src}|; s|@SCRATCH@|{scratch}|' {src}/rsyslog.conf >{scratch}/conf && \
             exec rsyslogd -n -i {scratch}/pid -f {scratch}/conf",
        ],
        &["rsyslogd", "-v"],
    )];
    if let Some(path) = place.fluent_bit {
        let path = path.to_string_lossy();
        peers.push(fluent_bit(&path));
        goals.extend([Goal::cpu_ratio("Fluent Bit", 0.5), Goal::wall_ratio("Fluent Bit", 1.0)]);
    }
    Ok(Work {
        title: format!("ship {mib} MiB of JSON lines of {LENGTH} bytes to a `_bulk` that answers at once, not parsed"),
        folder,
        expected,
        likeness: Likeness::Content,
        target: Target::Absent,
        ends: Ends::Shipped(lines),
        on_disk: true,
        ours: Program::ours(
            place.binaries,
            "log-sidecar",
            "log-sidecar",
            &[
                "--include",
                "{src}/*.log",
                "--to",
                "elasticsearch+http://127.0.0.1:{port}/app",
                "--state",
                "{scratch}",
                "--admin",
                "off",
            ],
        ),
        peers,
        goals,
    })
}

/// With a position file and ids, as ours.
fn fluent_bit(path: &str) -> Program {
    let words = [
        path,
        "-q",
        "-f",
        "1",
        "-i",
        "tail",
        "-p",
        "path={src}/app.log",
        "-p",
        "read_from_head=true",
        "-p",
        "db={scratch}/db",
        "-p",
        "buffer_max_size=1M",
        "-p",
        "mem_buf_limit=32M",
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
    Program::peer("Fluent Bit", &words, &[path, "--version"])
}

/// Lines that differ, of one length.
fn log_file(path: &Path, lines: u64, expected: &Path) -> Result<(), Error> {
    let file = File::create(path).during("create", path)?;
    let (mut file, mut sum, mut rng) = (BufWriter::with_capacity(1 << 20, file), Lines::default(), sample::rng());
    for number in 0..lines {
        let mut line = format!(
            "{{\"time\":\"2026-01-31T10:{:02}:{:02}.{:03}Z\",\"level\":\"info\",\"logger\":\"org.example.shop.OrderService\",\"thread\":\"exec-{}\",\
             \"order\":{number},\"customer\":\"{:016x}\",\"message\":\"order accepted ",
            number / 60_000 % 60,
            number / 1000 % 60,
            number % 1000,
            rng.u8(1..32),
            rng.u64(..),
        );
        while line.len() < LENGTH as usize - 3 {
            line.push(char::from(rng.u8(b'a'..=b'z')));
        }
        line.push_str("\"}");
        sum.add(&line);
        writeln!(file, "{line}").during("write", path)?;
    }
    file.flush().during("write", path)?;
    sum.write(expected).during("write", expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_json_of_one_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        log_file(&path, 100, &dir.path().join("expected")).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 100);
        for line in text.lines() {
            assert_eq!(line.len() as u64 + 1, LENGTH, "{line}");
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
