//! Lines that are one record: a stack trace with what was logged before it, or whatever begins with the same kind of line.

use pod_contract::config::Setting;

use super::traces::{Language, State};
use crate::batch::{Line, Mark};
use crate::parse::cri::Head;
use crate::parse::{Expression, begins_with_time};

/// What joins lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Join {
    /// A record begins with a time.
    Time,
    /// A record begins with a line that matches.
    Pattern(Expression),
    /// What a container runtime has cut.
    Cri,
    /// The traces of a language belong to the line before.
    Trace(Language),
}

impl Setting for Join {
    const FORM: &'static str =
        "time, cri, java, python, go, ruby, node, dotnet, rust, or /REGEX/ for the first line of a record";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "time" {
            return Ok(Self::Time);
        }
        if text == "cri" {
            return Ok(Self::Cri);
        }
        if let Some((_, language)) = Language::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Trace(*language));
        }
        if text.starts_with('/') {
            return Expression::parse(text).map(Self::Pattern);
        }
        Err("it is neither a name nor a /REGEX/".into())
    }
}

/// Joins by all rules together; what a runtime has cut, and does not go on, is [`Mark::Split`].
pub(super) fn join(rules: &[Join], block: &[u8], lines: &[Line], max_record: usize) -> Vec<Line> {
    let mut joined: Vec<Line> = Vec::new();
    let mut states = State::default();
    let is_cri = rules.contains(&Join::Cri);
    let mut part: Option<Head<'_>> = None;
    for line in lines {
        let text = &block[line.range()];
        let head = if is_cri { Head::of(text) } else { None };
        // The other rules are about what the application wrote.
        let text = &text[head.map_or(0, |head| head.length)..];
        let part = std::mem::replace(&mut part, head).filter(|part| part.is_partial);
        let is_part = part.is_some_and(|part| head.is_some_and(|head| head.stream == part.stream));
        if part.is_some() && !is_part {
            joined.last_mut().map(tear);
        }
        let last = joined
            .last_mut()
            .filter(|_| is_part || continues(rules, &mut states, text));
        match last {
            // What is cut has an end of its own.
            Some(last) if last.mark == Mark::Whole && line.mark != Mark::Truncated => {
                if (line.end - last.start) as usize <= max_record {
                    last.end = line.end;
                    last.mark = line.mark;
                    continue;
                }
                // What comes goes on in the same trace.
                last.mark = Mark::Split;
            }
            _ => states = State::begin(rules, text),
        }
        joined.push(*line);
    }
    joined
}

/// It ends where it was not to end.
pub(super) fn tear(record: &mut Line) {
    if record.mark == Mark::Whole {
        record.mark = Mark::Split;
    }
}

/// Does `text`, a record of one line or several, end in what a runtime has cut?
pub(super) fn is_cut(rules: &[Join], text: &[u8]) -> bool {
    let last = memchr::memrchr(b'\n', text).map_or(text, |at| &text[at + 1..]);
    rules.contains(&Join::Cri) && Head::of(last).is_some_and(|head| head.is_partial)
}

/// Can `text`, a record of one line or several, not go on?
pub(super) fn is_closed(rules: &[Join], text: &[u8]) -> bool {
    rules.iter().all(|rule| *rule == Join::Cri) && !is_cut(rules, text)
}

fn continues(rules: &[Join], states: &mut State, line: &[u8]) -> bool {
    let mut is_trace = false;
    let (mut has_starts, mut is_start) = (false, false);
    for rule in rules {
        match rule {
            Join::Trace(language) => is_trace |= states.continues(*language, line),
            Join::Cri => {}
            Join::Time => (has_starts, is_start) = (true, is_start || begins_with_time(line)),
            Join::Pattern(pattern) => {
                (has_starts, is_start) = (true, is_start || pattern.is_in(line));
            }
        }
    }
    !is_start && (is_trace || has_starts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reader::framing::{Units, frame};

    fn joined(rules: &[&str], text: &str, max: usize) -> Vec<(String, Mark)> {
        let rules: Vec<_> = rules.iter().map(|rule| Join::parse(rule).unwrap()).collect();
        let framed = frame(text.as_bytes(), 0, max, Units::Bytes);
        let joined = join(&rules, text.as_bytes(), &framed.lines, max);
        let text = |line: &Line| text[line.range()].to_owned();
        joined.iter().map(|line| (text(line), line.mark)).collect()
    }

    /// Records end with `¶` here.
    #[track_caller]
    fn assert_records(rules: &[&str], text: &str) {
        let records: Vec<_> = text.split_terminator("¶\n").collect();
        let found: Vec<_> = joined(rules, &text.replace('¶', ""), 10_000)
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(found, records);
    }

    #[test]
    fn a_record_begins_with_a_time_or_a_pattern() {
        assert_records(
            &["time"],
            "a\nb¶\n2026-11-26 10:00:00 c\n  d\n\ne¶\n[2026-11-26T10:00:00Z] f¶\n{\"g\":1}¶\n26-Nov-2026 10:00:00 h\n12 i¶\n",
        );
        assert_records(&["/^#/"], "a\nb¶\n# c\nd¶\n# e¶\n");
        assert_records(&["/^#/", "time"], "# c\nd¶\n2026-11-26 10:00:00 c\nd¶\n");
        for bad in ["", "perl", "//", "/(/", "x/"] {
            assert!(Join::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_runtime_has_cut_is_one_record() {
        let line = |stream: &str, tag: &str, text: &str| format!("2026-11-26T10:00:00.1Z {stream} {tag} {text}");
        let (out, err) = (
            |tag, text| line("stdout", tag, text),
            |tag, text| line("stderr", tag, text),
        );
        assert_records(
            &["cri"],
            &format!(
                "{}¶\n{}\n{}\n{}¶\n{}¶\nplain¶\n{}\n{}¶\n",
                out("F", "one"),
                out("P", "two"),
                out("P", "and"),
                out("F", "more"),
                // The end is lost.
                out("P", "three"),
                err("P", "four"),
                err("F", "five"),
            ),
        );
        let torn = format!("{}\n{}\n{}\n", out("P", "one"), err("F", "two"), out("P", "three"));
        let marks: Vec<_> = joined(&["cri"], &torn, 10_000)
            .into_iter()
            .map(|(_, mark)| mark)
            .collect();
        assert_eq!(marks, [Mark::Split, Mark::Whole, Mark::Whole]);
        let rules = [Join::Cri];
        assert!(is_cut(&rules, out("P", "x").as_bytes()) && !is_cut(&rules, err("F", "x").as_bytes()));
        assert!(!is_cut(&[Join::Time], out("P", "x").as_bytes()));
        assert!(is_closed(&rules, out("F", "x").as_bytes()) && is_closed(&rules, b"plain"));
        assert!(!is_closed(
            &rules,
            format!("{}\n{}", out("P", "x"), out("P", "x")).as_bytes()
        ));
        assert!(!is_closed(&[Join::Cri, Join::Time], out("F", "x").as_bytes()));
    }

    #[test]
    fn other_rules_see_what_stands_behind_the_head_of_a_runtime() {
        let line = |text: &str| format!("2026-11-26T10:00:00.1Z stdout F {text}");
        let lines = |texts: &[&str]| texts.iter().map(|text| line(text)).collect::<Vec<_>>().join("\n");
        assert_records(
            &["cri", "java"],
            &format!(
                "{}¶\n{}¶\n",
                lines(&[
                    "ERROR failed",
                    "java.lang.IllegalStateException: boom",
                    "\tat org.example.Main.run(Main.java:1)"
                ]),
                line("INFO after")
            ),
        );
        assert_records(
            &["cri", "time"],
            &format!(
                "{}¶\n{}¶\n",
                lines(&["2026-11-26 10:00:00 a", "b"]),
                line("2026-11-26 10:00:01 c")
            ),
        );
        assert_records(
            &["cri", "/^#/"],
            &format!("{}¶\n{}¶\n", lines(&["# a", "b"]), line("# c")),
        );
    }

    #[test]
    fn java_traces_belong_to_what_was_logged() {
        assert_records(
            &["java"],
            "INFO before¶\n\
             ERROR failed\n\
             java.lang.IllegalStateException: boom\n\
             \tat org.example.Main.run(Main.java:1)\n\
             \tat org.example.Main.main(Main.java:2) [app.jar:1.0]\n\
             \tSuppressed: java.io.IOException: closed\n\
             \t\tat org.example.A.close(A.java:1)\n\
             \t\t... 1 more\n\
             Caused by: java.io.IOException: no route\n\
             \t... 3 common frames omitted¶\n\
             Exception in thread \"main\" java.lang.OutOfMemoryError: heap\n\
             \tat org.example.Main.main(Main.java:2)¶\n\
             java.lang.Error: one\n\
             \tat org.example.Main.main(Main.java:2)¶\n\
             java.lang.Error: two\n\
             \tat org.example.Main.main(Main.java:2)¶\n\
             INFO after¶\n  indented, and no trace¶\n",
        );
        assert_records(
            &["java"],
            "ERROR failed\n\
             Caused by: org.postgresql.util.PSQLException: ERROR: no such column\n\
             \x20 Position: 15\n\
             \tat org.example.Main.run(Main.java:1)¶\n\
             com.example.ErrorHandler: started¶\n",
        );
    }

    #[test]
    fn python_traces_and_what_led_to_them() {
        assert_records(
            &["python"],
            "ERROR:root:failed\n\
             Traceback (most recent call last):\n\
             \x20 File \"a.py\", line 1, in <module>\n\
             \x20   f()\n\
             \x20   ~^^\n\
             ValueError: one\n\
             \n\
             During handling of the above exception, another exception occurred:\n\
             \n\
             Traceback (most recent call last):\n\
             \x20 File \"a.py\", line 3, in <module>\n\
             KeyError: 'two'¶\n\
             ERROR:root:after\n\
             Traceback (most recent call last):\n\
             \x20 File \"a.py\", line 1, in <module>\n\
             ValueError: three¶\n\
             Traceback (most recent call last):\n\
             \x20 File \"a.py\", line 1, in <module>\n\
             ValueError: four¶\n",
        );
    }

    #[test]
    fn go_panics_with_their_goroutines() {
        assert_records(
            &["go"],
            "2026/11/26 10:00:00 before¶\n\
             panic: runtime error: invalid memory address or nil pointer dereference\n\
             [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]\n\
             \n\
             goroutine 1 [running]:\n\
             main.(*Server).run(0xc000012345, {0x1, 0x2})\n\
             \t/app/main.go:12 +0x1d\n\
             created by main.main in goroutine 1\n\
             \t/app/main.go:5 +0x1d\n\
             exit status 2¶\n\
             2026/11/26 10:00:01 after¶\n",
        );
    }

    #[test]
    fn ruby_node_and_dotnet_traces() {
        assert_records(
            &["ruby"],
            "before¶\n\
             app.rb:2:in 'Integer#/': divided by 0 (ZeroDivisionError)\n\
             \n\
             \x20 1 / 0\n\
             \x20   ^\n\
             \tfrom app.rb:2:in 'Object#f'\n\
             \tfrom app.rb:5:in '<main>'¶\n\
             after¶\n",
        );
        assert_records(
            &["node"],
            "before¶\n\
             /app/index.js:12\n\
             \x20   throw err;\n\
             \x20   ^\n\
             \n\
             Error: connect ECONNREFUSED 192.0.2.1:5432\n\
             \x20   at TCPConnectWrap.afterConnect (node:net:1495:16) {\n\
             \x20 errno: -111,\n\
             \x20 code: 'ECONNREFUSED'\n\
             }\n\
             \n\
             Node.js v20.11.0¶\n\
             TypeError: x is not a function\n\
             \x20   at f (/app/index.js:1:1)¶\n\
             after¶\n",
        );
        assert_records(
            &["dotnet"],
            "before¶\n\
             Unhandled exception. System.InvalidOperationException: boom\n\
             \x20---> System.IO.IOException: disk\n\
             \x20  at App.Store.Read() in /src/Store.cs:line 7\n\
             \x20  --- End of inner exception stack trace ---\n\
             --- End of stack trace from previous location ---\n\
             \x20  at App.Program.Main(String[] args) in /src/Program.cs:line 3¶\n\
             after¶\n",
        );
    }

    #[test]
    fn rust_panics_with_their_backtraces() {
        assert_records(
            &["rust"],
            "before¶\n\
             thread 'main' (7) panicked at src/main.rs:2:5:\n\
             called `Option::unwrap()` on a `None` value\n\
             stack backtrace:\n\
             \x20  0: rust_begin_unwind\n\
             \x20            at /rustc/library/std/src/panicking.rs:1:1\n\
             note: run with `RUST_BACKTRACE=full`¶\n\
             after¶\n\
             thread 'main' panicked at 'old', src/main.rs:2:5\n\
             note: run with `RUST_BACKTRACE=1`¶\n\
             after¶\n",
        );
    }

    #[test]
    fn several_languages_together() {
        assert_records(
            &["java", "python"],
            "a\nTraceback (most recent call last):\n  x\nE: y¶\nb\n\tat c¶\nd¶\n",
        );
    }

    #[test]
    fn the_first_line_of_a_record_always_begins_one() {
        assert_records(
            &["time", "python"],
            "2026-11-26 10:00:00 a\nTraceback (most recent call last):\n  x¶\n2026-11-26 10:00:01 b¶\n",
        );
    }

    #[test]
    fn what_is_split_goes_on_in_the_same_trace() {
        let text = "Traceback (most recent call last):\n  one\n  two\n  three\nE: x\nafter\n";
        let records = joined(&["python"], text, 45);
        let texts: Vec<_> = records.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Traceback (most recent call last):\n  one",
                "  two\n  three\nE: x",
                "after"
            ]
        );
    }

    #[test]
    fn what_is_joined_has_the_limit_of_a_record() {
        // Of 4 bytes each, with their ends.
        let of = |max| joined(&["/^#/"], "#12\n456\n789\nabc\n", max);
        let whole = |text: &str| (text.to_owned(), Mark::Whole);
        assert_eq!(of(15), [whole("#12\n456\n789\nabc")]);
        assert_eq!(of(14), [("#12\n456\n789".to_owned(), Mark::Split), whole("abc")]);
        assert_eq!(of(11), [("#12\n456\n789".to_owned(), Mark::Split), whole("abc")]);
        assert_eq!(of(10), [("#12\n456".to_owned(), Mark::Split), whole("789\nabc")]);
    }

    proptest! {
        #[test]
        fn joining_moves_no_byte(text in "[#a\t\n]{0,200}", max in 1usize..50) {
            let lines = frame(text.as_bytes(), 0, max, Units::Bytes).lines;
            let joined = join(&[Join::parse("/^#/").unwrap(), Join::Trace(Language::Java)], text.as_bytes(), &lines, max);
            // Each joined line begins where one begins, ends where one ends, and the next begins with the next.
            let mut rest = lines.iter();
            for line in &joined {
                let first = rest.next().unwrap();
                prop_assert_eq!(first.start, line.start);
                let mut last = first;
                while last.end != line.end {
                    last = rest.next().unwrap();
                }
                prop_assert!((line.end - line.start) as usize <= max);
            }
            prop_assert!(rest.next().is_none());
        }
    }
}
