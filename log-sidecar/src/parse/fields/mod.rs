//! What a line says in fields: which parser reads it, and what becomes of the fields.

mod access;
mod json;
mod klog;
mod logfmt;

use std::borrow::Cow;

use pod_contract::config::Setting;

use super::cri::Head;
use super::expression::Expression;
use super::level::Level;
use super::time::is_time;
use crate::pod;

/// How lines are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parser {
    Json,
    Logfmt,
    /// Common and combined log format of Apache and nginx.
    Access,
    /// Of container runtimes: the other parsers read the text.
    Cri,
    /// Of Kubernetes' own components.
    Klog,
    /// Named groups are fields.
    Pattern(Expression),
}

impl Setting for Parser {
    const FORM: &'static str = "json, logfmt, access, klog, cri, or /REGEX/ with named groups";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "json" => Self::Json,
            "logfmt" => Self::Logfmt,
            "access" => Self::Access,
            "klog" => Self::Klog,
            "cri" => Self::Cri,
            _ if text.starts_with('/') => {
                let expression = Expression::parse(text)?;
                if expression.0.capture_names().flatten().next().is_none() {
                    return Err("it has no named group, such as (?<user>\\w+)".into());
                }
                Self::Pattern(expression)
            }
            _ => return Err("it is neither a name nor a /REGEX/".into()),
        })
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'t> {
    /// As it stands in JSON.
    Json(&'t str),
    Text(Cow<'t, str>),
}

impl Value<'_> {
    /// As people would read it: a text without quotes.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Json(json) => json::text(json).unwrap_or(Cow::Borrowed(json)),
        }
    }

    fn level(&self) -> Option<Level> {
        let text = self.text();
        Level::of_word(&text).or_else(|| Level::of_number(text.parse().ok()?))
    }
}

pub(crate) type Field<'t> = (Cow<'t, str>, Value<'t>);

/// What was read of a line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Parsed<'t> {
    pub(crate) message: Option<Value<'t>>,
    pub(crate) level: Option<Level>,
    pub(crate) fields: Vec<Field<'t>>,
}

impl Parser {
    fn read<'t>(&self, text: &'t str) -> Option<Parsed<'t>> {
        match self {
            Self::Json => json::read(text),
            Self::Logfmt => logfmt::read(text),
            Self::Access => access::read(text),
            Self::Klog => return klog::read(text),
            // What stands around the text is no field of it.
            Self::Cri => None,
            Self::Pattern(expression) => groups(expression, text),
        }
        .map(|fields| Parsed {
            fields,
            ..Parsed::default()
        })
    }
}

fn groups<'t>(Expression(regex): &Expression, text: &'t str) -> Option<Vec<Field<'t>>> {
    let captures = regex.captures(text)?;
    let named = regex.capture_names().flatten();
    let found = named.filter_map(|name| {
        let value = Value::Text(captures.name(name)?.as_str().into());
        Some((Cow::Owned(name.to_owned()), value))
    });
    Some(found.collect())
}

/// What becomes of fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shape {
    /// The first that can read a line does.
    pub(crate) parsers: Vec<Parser>,
    pub(crate) rename: Vec<(String, String)>,
    pub(crate) remove: Vec<String>,
    /// Texts that are numbers.
    pub(crate) numbers: Vec<String>,
    /// Where fields that were read are put together.
    pub(crate) nest: Option<String>,
    /// What every record says.
    pub(crate) fields: Vec<(String, String)>,
}

/// Members that hold what people read, and how serious it is; the ones that decide first.
const MESSAGES: [&str; 2] = ["message", "msg"];
const LEVELS: [&str; 7] = ["log.level", "level", "severity", "lvl", "loglevel", "levelname", "@l"];
/// Of the records, whatever lines say.
const OURS: [&str; 6] = [
    "@timestamp",
    "log",
    "event",
    "log.file.path",
    "log.record.uid",
    "log.flags",
];

/// Do records have a field of this name, whatever lines say?
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || name == MESSAGES[0] || pod::FIELDS.iter().any(|(_, field)| *field == name)
}

impl Shape {
    pub(crate) fn reads(&self) -> bool {
        !self.parsers.is_empty()
    }

    pub(crate) fn reads_cri(&self) -> bool {
        self.parsers.contains(&Parser::Cri)
    }

    /// What every record says: of the pod, and as the settings have it.
    pub(crate) fn common(&self) -> Vec<(&str, String)> {
        let given = self.fields.iter().map(|(name, value)| (name.as_str(), value.clone()));
        pod::fields().into_iter().chain(given).collect()
    }

    /// What a field that was read is called where fields have no parts.
    pub(crate) fn flat<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.nest {
            Some(nest) => Cow::Owned(format!("{nest}.{name}")),
            None => Cow::Borrowed(name),
        }
    }

    /// What a line says in fields, and its level; `has_time` if its own time is told beside it. None if lines are not read.
    pub(crate) fn of<'t>(&self, text: &'t str, has_time: bool) -> Option<Parsed<'t>> {
        if !self.reads() {
            return None;
        }
        let head = if self.reads_cri() {
            Head::of(text.as_bytes())
        } else {
            None
        };
        let text = head.and_then(|head| text.get(head.length..)).unwrap_or(text);
        let stream = head.map(|head| (Cow::Borrowed("stream"), Value::Text(head.stream.into())));
        let read = self.parsers.iter().find_map(|parser| parser.read(text));
        let mut parsed = read.unwrap_or_else(|| Parsed {
            message: Some(Value::Text(Cow::Borrowed(text))),
            level: Level::of_text(text),
            fields: Vec::new(),
        });
        let fields = &mut parsed.fields;
        fields.splice(0..0, stream);
        self.mend(fields);
        last_of_each(fields);
        let place = |fields: &[Field<'_>], name: &str| fields.iter().position(|(known, _)| known == name);
        if parsed.level.is_none() {
            let level = |name: &&str| fields[place(fields, name)?].1.level();
            parsed.level = LEVELS.iter().find_map(level);
        }
        // Told in its own place.
        if let Some(index) = place(fields, LEVELS[0])
            && parsed.level.is_some()
            && fields[index].1.level() == parsed.level
        {
            fields.remove(index);
        }
        if let Some(index) = place(fields, OURS[0])
            && has_time
            && is_time(fields[index].1.text().as_bytes())
        {
            fields.remove(index);
        }
        if parsed.message.is_none()
            && let Some(index) = MESSAGES.iter().find_map(|name| place(fields, name))
        {
            parsed.message = Some(fields.remove(index).1);
        }
        self.make_way(fields);
        Some(parsed)
    }

    fn mend(&self, fields: &mut Vec<Field<'_>>) {
        fields.retain(|(name, _)| !self.remove.iter().any(|removed| removed == name));
        for (name, value) in &mut *fields {
            if self.numbers.iter().any(|number| number == name)
                && let Some(number) = number(value)
            {
                *value = number;
            }
            if let Some((_, new)) = self.rename.iter().find(|(old, _)| old == name) {
                *name = Cow::Owned(new.clone());
            }
            // A store refuses a name without letters, also as a part.
            if name.split('.').any(|part| part.trim_ascii().is_empty()) {
                let parts: Vec<&str> = name
                    .split('.')
                    .map(|part| if part.trim_ascii().is_empty() { "_" } else { part })
                    .collect();
                *name = Cow::Owned(parts.join("."));
            }
        }
    }

    /// A store refuses the same name twice: those that records have themselves are not for lines.
    fn make_way(&self, fields: &mut [Field<'_>]) {
        if self.nest.is_some() {
            return;
        }
        for index in 0..fields.len() {
            while is_ours(&fields[index].0) || self.fields.iter().any(|(known, _)| *known == fields[index].0) {
                let mut name = format!("{}_", fields[index].0);
                while fields.iter().any(|(known, _)| *known == name) {
                    name.push('_');
                }
                fields[index].0 = Cow::Owned(name);
            }
        }
    }
}

fn number<'t>(value: &Value<'t>) -> Option<Value<'t>> {
    match value {
        Value::Text(Cow::Borrowed(text)) if json::is_number(text) => Some(Value::Json(text)),
        Value::Json(json) => {
            let inner = json.strip_prefix('"')?.strip_suffix('"')?;
            json::is_number(inner).then_some(Value::Json(inner))
        }
        Value::Text(_) => None,
    }
}

/// Of fields with one name, the last one counts.
fn last_of_each(fields: &mut Vec<Field<'_>>) {
    /// Of so many, comparing each with each takes longer than to sort them.
    const FEW: usize = 24;
    let mut is_last = vec![true; fields.len()];
    if fields.len() <= FEW {
        for (index, (name, _)) in fields.iter().enumerate() {
            is_last[index] = fields[index + 1..].iter().all(|(later, _)| later != name);
        }
    } else {
        let mut sorted: Vec<usize> = (0..fields.len()).collect();
        sorted.sort_by(|&a, &b| fields[a].0.cmp(&fields[b].0).then(a.cmp(&b)));
        for pair in sorted.windows(2).filter(|pair| fields[pair[0]].0 == fields[pair[1]].0) {
            is_last[pair[0]] = false;
        }
    }
    let mut is_last = is_last.into_iter();
    fields.retain(|_| is_last.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(parsers: &[&str]) -> Shape {
        Shape {
            parsers: parsers.iter().map(|text| Parser::parse(text).unwrap()).collect(),
            ..Shape::default()
        }
    }

    fn told(parsed: &Parsed<'_>) -> String {
        let fields = parsed.fields.iter().map(|(name, value)| match value {
            Value::Json(json) => format!("{name}={json}"),
            Value::Text(text) => format!("{name}:{text}"),
        });
        let fields: Vec<_> = fields.collect();
        let message = parsed.message.as_ref().map(|message| message.text().into_owned());
        format!(
            "{} {} [{}]",
            parsed.level.map_or("-", Level::name),
            message.as_deref().unwrap_or("-"),
            fields.join(" ")
        )
    }

    #[test]
    fn each_parser_reads_its_lines_and_leaves_the_others() {
        let all = shape(&["json", "access", "klog", "logfmt", r"/^(?<user>\w+) says (?<what>.+)$/"]);
        for (line, expected) in [
            (
                r#"{"level":"WARN","msg":"a \"b\"","n":1.50,"o":{"p":[1]},"n":2}"#,
                r#"warn a "b" [level="WARN" o={"p":[1]} n=2]"#,
            ),
            (
                r#"{"log.level":"error","message":"x","level":"y"}"#,
                r#"error x [level="y"]"#,
            ),
            (
                r#"{"level":30,"time":1795687200123}"#,
                "info - [level=30 time=1795687200123]",
            ),
            (
                r#"{"log":"text","log_":1,"@timestamp":"?","":1,"a..b":2}"#,
                r#"- - [log__="text" log_=1 @timestamp_="?" _=1 a._.b=2]"#,
            ),
            (r#"{"message":{"a":1}}"#, r#"- {"a":1} []"#),
            (r#"{"cut":"in the mid"#, r#"- {"cut":"in the mid []"#),
            ("{\"a\":1} ERROR", "error {\"a\":1} ERROR []"),
            (
                r#"level=info msg="it \"is\"" took=3ms empty= flag"#,
                r#"info it "is" [level:info took:3ms empty: flag=true]"#,
            ),
            (
                r#"192.0.2.7 - ann [26/Nov/2026:10:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 512 "-" "curl/8 \"x\"""#,
                "- - [host:192.0.2.7 user:ann time:26/Nov/2026:10:00:00 +0000 method:GET path:/a?b=c protocol:HTTP/1.1 status=200 size=512 agent:curl/8 \"x\"]",
            ),
            (
                r#"192.0.2.7 - - [26/Nov/2026:10:00:00 +0000] "-" 408 -"#,
                "- - [host:192.0.2.7 time:26/Nov/2026:10:00:00 +0000 request:- status=408]",
            ),
            (
                r#"192.0.2.7 - - [26/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl" "198.51.100.9" rt=1"#,
                "- - [host:192.0.2.7 time:26/Nov/2026:10:00:00 +0000 method:GET path:/ protocol:HTTP/1.1 status=200 size=5 agent:curl rest:\"198.51.100.9\" rt=1]",
            ),
            ("a=1 the cat saw the dog", "- a=1 the cat saw the dog []"),
            (
                r#"{"level":"?","severity":"ERROR","msg":"x"}"#,
                r#"error x [level="?" severity="ERROR"]"#,
            ),
            (
                "E1126 10:00:00.123456    4567 app.go:12] it failed",
                "error it failed [thread=4567 source:app.go:12]",
            ),
            ("ann says hello", "- - [user:ann what:hello]"),
            ("[error] nobody reads this", "error [error] nobody reads this []"),
        ] {
            assert_eq!(told(&all.of(line, false).unwrap()), expected, "{line}");
        }
        assert_eq!(shape(&[]).of("x", false), None);
    }

    #[test]
    fn what_a_runtime_writes_around_a_text_is_taken_off() {
        let time = "2026-11-26T10:00:00.123456789Z";
        let all = shape(&["cri", "json"]);
        for (line, expected) in [
            (
                format!("{time} stderr F {{\"msg\":\"x\",\"n\":1}}"),
                "- x [stream:stderr n=1]",
            ),
            (
                format!("{time} stdout P plain ERROR"),
                "error plain ERROR [stream:stdout]",
            ),
            ("{\"msg\":\"y\"}".into(), "- y []"),
            (format!("{time} stdout"), &*format!("- {time} stdout []")),
        ] {
            assert_eq!(told(&all.of(&line, true).unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn fields_are_renamed_removed_nested_and_counted() {
        let shape = Shape {
            rename: vec![
                ("a".into(), "b".into()),
                ("x".into(), "log".into()),
                ("what".into(), "message".into()),
            ],
            remove: vec!["secret".into()],
            numbers: vec!["n".into(), "m".into(), "o".into()],
            fields: vec![("team".into(), "payments".into())],
            ..shape(&["json", "logfmt"])
        };
        let of = |line| told(&shape.of(line, true).unwrap());
        assert_eq!(
            of(
                r#"{"@timestamp":"2026-11-26T10:00:00Z","a":1,"b":2,"x":3,"secret":4,"n":"12.5","m":"no","team":"mine","what":"it is"}"#
            ),
            r#"- it is [b=2 log_=3 n=12.5 m="no" team_="mine"]"#
        );
        assert_eq!(of("n=5 m=0x1 o=007"), "- - [n=5 m:0x1 o:007]");
        let nested = Shape {
            nest: Some("app".into()),
            ..Shape::default()
        };
        let nested = Shape {
            parsers: shape.parsers.clone(),
            ..nested
        };
        assert_eq!(told(&nested.of(r#"{"log":1}"#, true).unwrap()), "- - [log=1]");
    }

    #[test]
    fn of_many_fields_the_last_of_each_name_counts_too() {
        let line = format!(
            "{{{}\"a\":0,\"f7\":1}}",
            (0..40).map(|n| format!("\"f{n}\":0,")).collect::<String>()
        );
        let parsed = shape(&["json"]).of(&line, false).unwrap();
        assert_eq!(parsed.fields.len(), 41);
        let sevens: Vec<_> = parsed.fields.iter().filter(|(name, _)| name == "f7").collect();
        assert_eq!(sevens, [&("f7".into(), Value::Json("1"))]);
    }

    #[test]
    fn a_parser_has_to_find_something() {
        for bad in ["", "yaml", "/a", "/(a)/", "/(?<a/"] {
            assert!(Parser::parse(bad).is_err(), "{bad:?}");
        }
    }
}
