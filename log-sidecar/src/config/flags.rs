//! The flags, and what the help says beside them.

use std::path::PathBuf;
use std::time::Duration;

use pod_contract::config::{Flag, Repeat, Secret, Section, list, map, setting};
use pod_contract::start::cli::Verb;
use pod_contract::tls;
use pod_contract::units::Bytes;
use pod_contract::{admin, aws};

use super::encoding::Encoding;
use crate::deliver::AllRefused;
use crate::discover::Pattern;
use crate::ending::ExitWhen;
use crate::parse::{Expression, Parser, Timestamp, Zone};
use crate::reader::{Join, Start};
use crate::sink::{Compress, Target};
use crate::transform::{Redact, Sample};

pub(crate) const AFTER_HELP: &str = "\
Sinks: elasticsearch+https://HOST:PORT/INDEX (also opensearch, http, a path before INDEX, ?pipeline=NAME;
%Y %m %d %H in INDEX are of the time of each line), otlp+https://HOST:PORT (also http; in protobuf, or ?encoding=json), loki+https://HOST:PORT (also http),
ndjson+https://HOST:PORT/PATH and json+https://HOST:PORT/PATH (also http; objects a line, or an array),
syslog+tls://HOST:PORT (also tcp, and udp, of which nobody knows what arrives), forward+tls://HOST:PORT/TAG (also tcp; Fluentd, Fluent Bit),
s3://BUCKET/FOLDER (%Y %m %d %H in FOLDER are of the time of reading; each batch is an object; keys are in AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, or of a service account or agent, as the AWS tools have them), file:///PATH?max-size=64MiB&keep=5 (one JSON object a line;
rotated to PATH.1 and so on), and stdout (the same).
Without --state, positions are lost when the container restarts. Put it on a volume, such as the one that holds the logs.
Several sinks at once: `sinks: {NAME: {to: …}, …}` in the file of --config. What one does not say is as it stands beside `sinks`. Each has its
own positions and rejected records in STATE/sinks/NAME, and its own --in-flight; none waits for another.
A change of the file of --config is read while it runs, as at SIGHUP; what cannot be proved is told and changes nothing.
POD_NAME, POD_NAMESPACE, POD_UID and NODE_NAME (from the downward API) are added to every record where set.

Example:
  log-sidecar --include '/logs/*.log' --to elasticsearch+https://es.example:9200/app --api-key file:/secrets/key --state /state

Exit codes: 0 stopped with everything delivered or kept, 1 failed, stopped with a backlog, or records were lost, 2 bad flags";

pub(crate) const VERBS: &[Verb] = &[
    Verb {
        name: "replay",
        about: "Send what is in the dead-letter file again, with the settings of the sidecar, which may go on beside it",
        after_help: "What is refused again is kept again. Exit codes: 0 all was taken, 1 not all, 2 bad flags",
        flags: verb_flags,
        sections: SECTIONS,
        is_probe: false,
    },
    Verb {
        name: "try",
        about: "Show what would be sent of the lines on standard input, with the settings of the sidecar: one JSON object a record",
        after_help: "\
Example:
  log-sidecar try --parse json --redact bearer < sample.log",
        flags: verb_flags,
        sections: SECTIONS,
        is_probe: false,
    },
    Verb {
        name: "status",
        about: "Show how far each file is, by what the state directory says: also of a sidecar that runs beside, or ran before",
        after_help: "\
Example:
  kubectl exec POD -c log-sidecar -- log-sidecar status --state /state",
        flags,
        sections: SECTIONS,
        is_probe: true,
    },
];

pub(crate) const SECTIONS: &[Section] = &[Section {
    name: "sinks",
    help: "Several sinks, each with its own name, positions and rejected records; what one does not say is as it stands beside them",
    repeat: Repeat::Named,
    flags: sink_flags,
}];

pub(crate) fn flags() -> Vec<Flag> {
    let mut all = sink_flags();
    all.extend(process_flags());
    all
}

fn verb_flags() -> Vec<Flag> {
    let mut all = flags();
    all.push(setting::<String>("sink", "NAME", "Which of the sinks of the file"));
    all
}

fn sink_flags() -> Vec<Flag> {
    let mut all = file_flags();
    all.extend(reading_flags());
    all.extend(pace_flags());
    all.extend(shaping_flags());
    all.extend(login_flags());
    all.extend(aws::flags());
    all.extend(delivery_flags());
    all.extend(tls::flags());
    all
}

pub(super) fn process_flags() -> Vec<Flag> {
    vec![
        setting::<PathBuf>("state", "DIR", "Where positions and rejected records are kept"),
        setting::<ExitWhen>(
            "exit-when",
            "WHAT",
            "Stop as on SIGTERM: once nobody has had a file open for writing for 10s (writers-gone), or once the file of this path is there, which the application makes when it has ended: for a Job",
        ),
        setting::<Duration>("grace", "DURATION", "On stop, give up after [default: 10s]"),
        admin::flag("Where /healthz, /readyz and /metrics listen, or off [default: 0.0.0.0:9601]"),
    ]
}

fn file_flags() -> Vec<Flag> {
    vec![
        list::<Pattern>(
            "include",
            "GLOB",
            "Files to read: absolute, with *, ?, [a-z], {a,b} (in quotes) and ** for any depth; repeat the flag for more",
        ),
        list::<Pattern>(
            "rotated",
            "GLOB",
            "Where rotation puts files, if neither beside them nor under their name with something added; repeat the flag for more",
        ),
        list::<Pattern>("exclude", "GLOB", "Files to leave out; repeat the flag for more"),
        setting::<Start>(
            "start",
            "WHERE",
            "checkpoint: where the last run ended, at a first start from the head; head: all of it again; tail: as checkpoint, but at a \
             first start only what comes [default: checkpoint]",
        ),
        setting::<Duration>(
            "ignore-older",
            "DURATION",
            "At a first start, what was not written to for so long is passed over, and told [default: 1h for rotated files, no limit for \
             the others]",
        ),
    ]
}

fn reading_flags() -> Vec<Flag> {
    vec![
        setting::<Timestamp>(
            "timestamp",
            "WHICH",
            "@timestamp is when a line was read, or when it was written, as the line says (in the usual forms, at its start, in brackets, in logfmt or in JSON); one \
             that does not say it is as old as the one before [default: read; line with --parse, for Loki and for an index by date]",
        ),
        setting::<Zone>(
            "time-zone",
            "ZONE",
            "Of the times of lines that do not say it: UTC, or an offset such as +02:00 [default: UTC]",
        ),
        list::<Join>(
            "multiline",
            "WHAT",
            "Joins lines to one record: time, if one begins with the time (or is JSON); cri: what a container runtime has cut; java, python, go, ruby, node, dotnet, rust: stack traces \
             with what was logged before; /REGEX/: if its first line is like that; repeat the flag for more",
        ),
        setting::<Duration>(
            "multiline-wait",
            "DURATION",
            "A line to be joined is waited for so long [default: 1s]",
        ),
        setting::<Encoding>(
            "encoding",
            "NAME",
            "Of what is not UTF-8: latin1 or windows-1252, for lines; utf-16, for files that begin like that, with a byte order mark or a character of ASCII; utf-16le or utf-16be, for all files [default: what is no UTF-8 becomes U+FFFD]",
        ),
        setting::<Bytes>(
            "max-record",
            "SIZE",
            "A longer line (of UTF-16: in the file) is cut there and marked, and lines are joined only up to that [default: 256KiB]",
        ),
    ]
}

/// How much at once, and how often.
fn pace_flags() -> Vec<Flag> {
    vec![
        setting::<Bytes>(
            "batch-size",
            "SIZE",
            "Bytes of lines that go out at once [default: 1MiB, for s3 4MiB]",
        ),
        setting::<Duration>(
            "flush-interval",
            "DURATION",
            "A line waits so long for company [default: until the sink has nothing else to do, at most 200ms; for s3 60s, in its file]",
        ),
        setting::<Bytes>(
            "in-flight",
            "SIZE",
            "Bytes read and not yet acknowledged, at most [default: 6MiB, for s3 8MiB]",
        ),
        setting::<Bytes>(
            "rate",
            "SIZE",
            "Bytes read in a second, at most, so that a backlog does not flood the sink; not while it stops [default: no limit]",
        ),
        setting::<Duration>(
            "poll",
            "DURATION",
            "Directories are compared so often, whatever notify says; up to every 30s where that takes long [default: 1s]",
        ),
        setting::<Duration>(
            "hold-deleted",
            "DURATION",
            "A file that is deleted or moved away is held as long as somebody has it open for writing; where nobody says, until it has not grown for so long; at least 10s [default: 10m]",
        ),
        setting::<Bytes>(
            "hold-deleted-max",
            "SIZE",
            "Of more bytes of such files, the ones that rest longest are let go [default: 64MiB]",
        ),
        setting::<Duration>(
            "drain-quiet",
            "DURATION",
            "On stop, read until no file grew for so long [default: 1s]",
        ),
        setting::<Duration>(
            "ready-lag",
            "DURATION",
            "Not ready while something was written longer ago than that, and is not settled [default: ready also then]",
        ),
    ]
}

fn shaping_flags() -> Vec<Flag> {
    vec![
        list::<Expression>(
            "keep",
            "/REGEX/",
            "Only lines that match are sent; repeat the flag for more: one of them is enough",
        ),
        list::<Expression>(
            "drop",
            "/REGEX/",
            "Lines that match are not sent; repeat the flag for more",
        ),
        list::<Sample>(
            "sample",
            "N:/REGEX/",
            "Of lines that match, 1 in N is sent, always the same ones; the others are counted with those that are dropped; repeat the flag for more: the first that matches does",
        ),
        list::<Redact>(
            "redact",
            "WHAT",
            "Masked before anything else has it: bearer (tokens and passwords after Bearer and Basic), cloud-keys, cards (card numbers), or /REGEX/, \
             of which the first group counts, or all of it; repeat the flag for more",
        ),
        list::<Parser>(
            "parse",
            "HOW",
            "Lines are read, and their fields sent in their place; message or msg, level and time become those of the record. json, logfmt, access (Apache, nginx), klog, \
             /REGEX/ with named groups, or cri (files of container runtimes, of which the others read the text); repeat the flag for more: the first that fits does. Lines that nobody can read are sent as text",
        ),
        map::<String>(
            "rename",
            "OLD=NEW",
            "A field has another name; repeat the flag for more",
        ),
        list::<String>("remove", "FIELD", "A field is left out; repeat the flag for more"),
        list::<String>(
            "number",
            "FIELD",
            "A field is a number, though it is written as a text; repeat the flag for more",
        ),
        setting::<String>(
            "nest",
            "FIELD",
            "Fields that were read are put into this one, so that theirs do not collide with others in the store",
        ),
        map::<String>(
            "field",
            "NAME=VALUE",
            "A field of every record; repeat the flag for more",
        ),
    ]
}

/// Who we are to the sink.
fn login_flags() -> Vec<Flag> {
    vec![
        setting::<String>("username", "NAME", "For the sink, with --password"),
        setting::<Secret>("password", "SECRET", "Where the password is: env:NAME or file:PATH"),
        setting::<Secret>(
            "api-key",
            "SECRET",
            "Where an API key for the sink is, as id:key or encoded: env:NAME or file:PATH",
        ),
        setting::<Secret>(
            "bearer",
            "SECRET",
            "Where a token for the sink is: env:NAME or file:PATH",
        ),
        setting::<Secret>(
            "shared-key",
            "SECRET",
            "Where the key is that a forward server shares with us: env:NAME or file:PATH",
        ),
    ]
}

fn delivery_flags() -> Vec<Flag> {
    vec![
        setting::<Target>("to", "SINK", "Where records go, by scheme"),
        map::<String>(
            "header",
            "NAME=VALUE",
            "A header of every request, such as X-Scope-OrgID=team; repeat the flag for more. No secrets: everybody sees them in the pod spec",
        ),
        map::<String>(
            "label",
            "NAME=VALUE",
            "A label of Loki's streams, beside filename, and namespace and pod where they are known; repeat the flag for more",
        ),
        setting::<Duration>(
            "request-timeout",
            "DURATION",
            "The sink is given so long to answer [default: 30s]",
        ),
        setting::<Compress>(
            "compress",
            "HOW",
            "Requests with records are packed: none, or gzip, which takes more of the processor and less of the network [default: none]",
        ),
        setting::<Duration>(
            "retry-max",
            "DURATION",
            "Longest pause between tries; tries never end [default: 30s]",
        ),
        setting::<Bytes>(
            "dead-letter-max",
            "SIZE",
            "Size of the file of rejected records [default: 16MiB]",
        ),
        list::<String>(
            "hold",
            "TYPE",
            "A type of the sink's errors that a person mends, beside the known ones: such records wait; repeat the flag for more",
        ),
        setting::<AllRefused>(
            "all-refused",
            "WHAT",
            "A batch of which every record is refused waits until the sink takes others (hold), or is kept as rejected at once (reject) \
             [default: hold]",
        ),
    ]
}
