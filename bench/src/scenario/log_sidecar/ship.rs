//! A large file of JSON lines into `_bulk` of a server that answers at once: what a line costs, as it is, read as fields, and compressed on
//! its way.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::error::{During as _, Error};
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::work::sample;
use crate::work::store::Lines;

pub(in crate::scenario) const BULK: Scenario = Scenario {
    name: "ship-bulk",
    kind: Kind::Runs(|place| prepare(place, &AS_IT_IS)),
};

pub(in crate::scenario) const PARSED: Scenario = Scenario {
    name: "ship-parsed",
    kind: Kind::Runs(|place| prepare(place, &READ)),
};

pub(in crate::scenario) const GZIP: Scenario = Scenario {
    name: "ship-gzip",
    kind: Kind::Runs(|place| prepare(place, &PACKED)),
};

/// What is done to lines on their way.
struct Way {
    title: &'static str,
    /// Does what arrives have the message alone in the place of the line?
    is_read: bool,
    ours: &'static [&'static str],
    /// Of rsyslog, the template; without, it cannot do it.
    rsyslog: Option<(&'static str, f64)>,
    /// Of Fluent Bit: of its input, its filters, and its output.
    fluent_bit: [&'static [&'static str]; 3],
    /// CPU time in that of Fluent Bit.
    goal: f64,
}

const AS_IT_IS: Way = Way {
    title: "not parsed",
    is_read: false,
    ours: &[],
    rsyslog: Some((
        r#"template(name="line" type="list") { constant(value="{") property(name="msg" outname="message" format="jsonf") constant(value="}") }"#,
        0.15,
    )),
    fluent_bit: [&[], &[], &[]],
    goal: 0.5,
};

const READ: Way = Way {
    title: "parsed, with one field added",
    is_read: true,
    ours: &["--parse", "json", "--field", "team=shop"],
    rsyslog: None,
    fluent_bit: [
        &["-p", "parser=json"],
        &["-F", "modify", "-p", "match=*", "-p", "Add=team shop"],
        &[],
    ],
    goal: 0.6,
};

const PACKED: Way = Way {
    title: "not parsed, requests in gzip",
    is_read: false,
    ours: &["--compress", "gzip"],
    rsyslog: None,
    fluent_bit: [&[], &[], &["-p", "compress=gzip"]],
    goal: 0.8,
};

/// Of a line, with its end.
const LENGTH: u64 = 240;

/// rsyslog as its documentation has it: one template, bulk mode, a queue in memory.
const RSYSLOG: &str = r#"
global(workDirectory="@SCRATCH@")
module(load="imfile")
module(load="omelasticsearch")
@TEMPLATE@
input(type="imfile" file="@SRC@/app.log" tag="app" ruleset="ship")
ruleset(name="ship") {
  action(type="omelasticsearch" server="127.0.0.1" serverport="@PORT@" template="line" searchIndex="app" searchType=""
         bulkmode="on" maxbytes="1m" action.resumeretrycount="-1"
         queue.type="linkedlist" queue.size="20000" queue.dequeuebatchsize="1000")
}
"#;

/// Its parsers have a file of their own.
const PARSERS: &str = "[PARSER]\n    Name json\n    Format json\n    Time_Key time\n    Time_Format %Y-%m-%dT%H:%M:%S.%LZ\n    Time_Keep on\n";

fn prepare(place: &Place<'_>, way: &Way) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let (source, expected) = (folder.path().join("source"), folder.path().join("expected"));
    fs::create_dir(&source).during("create", &source)?;
    let mib = place.amount(512, 8);
    let lines = mib * 1024 * 1024 / LENGTH;
    log_file(&source.join("app.log"), lines, &expected, way.is_read)?;
    let write = |name: &str, text: &str| {
        let path = source.join(name);
        fs::write(&path, text).during("write", &path)
    };
    let (mut goals, mut peers) = (Vec::new(), Vec::new());
    if let Some((template, goal)) = way.rsyslog {
        write("rsyslog.conf", &RSYSLOG.replace("@TEMPLATE@", template))?;
        goals.push(Goal::cpu_ratio("rsyslog", goal));
        peers.push(rsyslog());
    }
    if let Some(path) = place.fluent_bit {
        write("parsers.conf", PARSERS)?;
        peers.push(fluent_bit(path, way));
        goals.extend([
            Goal::cpu_ratio("Fluent Bit", way.goal),
            Goal::wall_ratio("Fluent Bit", 1.0),
        ]);
    }
    Ok(Work {
        title: format!(
            "ship {mib} MiB of JSON lines of {LENGTH} bytes to a `_bulk` that answers at once, {}",
            way.title
        ),
        folder,
        expected,
        likeness: Likeness::Content,
        target: Target::Absent,
        ends: Ends::Shipped(lines),
        on_disk: true,
        ours: super::ours(place.binaries, "{src}/*.log", way.ours),
        peers,
        goals,
    })
}

fn rsyslog() -> Program {
    let script = "sed 's|@PORT@|{port}|; s|@SRC@|{src}|; s|@SCRATCH@|{scratch}|' {src}/rsyslog.conf >{scratch}/conf && \
                  exec rsyslogd -n -i {scratch}/pid -f {scratch}/conf";
    Program::peer("rsyslog", &["sh", "-c", script], &["rsyslogd", "-v"])
}

fn fluent_bit(path: &Path, way: &Way) -> Program {
    let input = [
        "-p",
        "path={src}/app.log",
        "-p",
        "buffer_max_size=1M",
        "-p",
        "mem_buf_limit=32M",
    ];
    let [of_input, filters, of_output] = way.fluent_bit;
    super::fluent_bit(
        path,
        &["-R", "{src}/parsers.conf"],
        &[&input, of_input].concat(),
        filters,
        of_output,
    )
}

/// Lines that differ, of one length. What is expected of each is the line, or, if it `is_read`, the message in it.
fn log_file(path: &Path, lines: u64, expected: &Path, is_read: bool) -> Result<(), Error> {
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
        let message = line.len() - "order accepted ".len();
        while line.len() < LENGTH as usize - 3 {
            line.push(char::from(rng.u8(b'a'..=b'z')));
        }
        line.push_str("\"}");
        sum.add(if is_read { &line[message..line.len() - 2] } else { &line });
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
        log_file(&path, 100, &dir.path().join("expected"), false).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 100);
        for line in text.lines() {
            assert_eq!(line.len() as u64 + 1, LENGTH, "{line}");
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
