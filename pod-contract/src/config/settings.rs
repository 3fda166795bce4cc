//! The one reader of settings: by name, from flag, variable or file, collecting every mistake.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::yaml::{self, Entry, Node, Place, Value};
use super::{Origin, Problem};

/// A type that a setting can have.
pub trait Setting: Sized {
    /// The accepted form, for people: "a duration with a unit, such as 10s".
    const FORM: &'static str;

    /// Parses the text as typed; the error says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A list inside one flag value or variable is separated by this.
const SEPARATOR: char = ',';

/// Settings of the program, or of one named section of its file.
///
/// Every reader returns `None` after a mistake has been noted, so a caller reads *all* it needs first and gives up after that:
/// one run shows every mistake.
pub struct Settings<'a> {
    flags: Option<Flags<'a>>,
    verb: Option<&'a str>,
    file: PathBuf,
    entries: Vec<Entry>,
    problems: Rc<RefCell<Vec<Problem>>>,
}

impl<'a> Settings<'a> {
    /// Settings from parsed flags, their variables (which start with `prefix`) and, if given, a file.
    pub fn new(matches: &'a ArgMatches, prefix: &'a str, file: Option<&Path>) -> Self {
        let problems = Rc::new(RefCell::new(Vec::new()));
        let mut entries = Vec::new();
        if let Some(path) = file {
            match read(path) {
                Ok(found) => entries = found,
                Err(problem) => problems.borrow_mut().push(problem),
            }
        }
        Self {
            flags: Some(Flags { matches, prefix }),
            verb: None,
            file: file.map(Path::to_owned).unwrap_or_default(),
            entries,
            problems,
        }
    }

    /// The same settings, given to a subcommand of the binary's own.
    #[must_use]
    pub fn for_verb(mut self, verb: Option<&'a str>) -> Self {
        self.verb = verb;
        self
    }

    /// The subcommand of the binary's own that these settings were given to.
    pub fn verb(&self) -> Option<&'a str> {
        self.verb
    }

    /// A setting with a default.
    pub fn or<T: Setting>(&mut self, name: &str, default: T) -> Option<T> {
        self.optional(name).map(|value| value.unwrap_or(default))
    }

    /// A setting that may be left out.
    pub fn optional<T: Setting>(&mut self, name: &str) -> Option<Option<T>> {
        match self.raw(name)?.as_slice() {
            [] => Some(None),
            [(origin, text)] => self.parse(origin, text).map(Some),
            [_, (origin, _), ..] => self.note(origin.clone(), "takes one value, not several"),
        }
    }

    /// A setting that must be there.
    pub fn required<T: Setting>(&mut self, name: &str) -> Option<T> {
        match self.optional(name)? {
            Some(value) => Some(value),
            None => self.missing(name, T::FORM),
        }
    }

    /// A setting with any number of values: a repeated flag, values separated by commas, or a YAML list.
    pub fn list<T: Setting>(&mut self, name: &str) -> Option<Vec<T>> {
        let raw = self.raw(name)?;
        let parts = raw
            .iter()
            .flat_map(|(origin, text)| text.split(SEPARATOR).map(move |part| (origin, part.trim())));
        self.parse_all(parts)
    }

    /// Like [`Settings::list`], for texts in which a comma is a character like any other.
    pub fn values<T: Setting>(&mut self, name: &str) -> Option<Vec<T>> {
        let raw = self.raw(name)?;
        self.parse_all(raw.iter().map(|(origin, text)| (origin, text.as_str())))
    }

    /// A list that must not be empty.
    pub fn required_list<T: Setting>(&mut self, name: &str) -> Option<Vec<T>> {
        let values = self.list(name)?;
        if values.is_empty() {
            self.missing(name, T::FORM)
        } else {
            Some(values)
        }
    }

    /// The named sections below key `name`, in the order of the file.
    pub fn sections(&mut self, name: &str) -> Vec<(String, Settings<'static>)> {
        let Some(entry) = self.take(name) else {
            return Vec::new();
        };
        let Value::Map(entries) = entry.node.value else {
            self.note::<()>(self.at(entry.node.place, name), "has to be a map of names to settings");
            return Vec::new();
        };
        let mut sections = Vec::new();
        for section in entries {
            match section.node.value {
                Value::Map(entries) => {
                    sections.push((section.key, self.section(entries)));
                }
                _ => {
                    self.note::<()>(self.at(section.node.place, &section.key), "has to be a map of settings");
                }
            }
        }
        sections
    }

    /// Is the flag without a value (clap's `SetTrue`) on the command line?
    pub fn flag(&self, name: &str) -> bool {
        let found = self
            .flags
            .and_then(|flags| flags.matches.try_get_one::<bool>(name).ok().flatten());
        found.copied().unwrap_or(false)
    }

    /// Settings with nothing in them, whose mistakes are told with these.
    pub fn none(&self) -> Settings<'static> {
        self.section(Vec::new())
    }

    fn section(&self, entries: Vec<Entry>) -> Settings<'static> {
        Settings {
            flags: None,
            verb: None,
            file: self.file.clone(),
            entries,
            problems: Rc::clone(&self.problems),
        }
    }

    /// Notes a mistake that only shows when settings are seen together; returns `None` for use with `?`.
    pub fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.note(Origin::Absent, message)
    }

    /// Reports the keys of the file that nobody asked for. Call it when all settings are read.
    pub fn finish(&mut self, known: &[&str]) {
        for entry in std::mem::take(&mut self.entries) {
            let nearest = known.iter().min_by_key(|name| distance(name, &entry.key));
            let hint = nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"));
            self.note::<()>(self.at(entry.place, &entry.key), format!("is not a setting{hint}"));
        }
    }

    /// All mistakes noted so far, in this and every section.
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.borrow().clone()
    }

    fn note<T>(&self, origin: Origin, message: impl Into<String>) -> Option<T> {
        self.problems.borrow_mut().push(Problem {
            origin,
            message: message.into(),
        });
        None
    }

    fn missing<T>(&self, name: &str, form: &str) -> Option<T> {
        self.note(Origin::Absent, format!("{name} is missing: {form}"))
    }

    fn parse_all<'r, T: Setting>(&self, parts: impl Iterator<Item = (&'r Origin, &'r str)>) -> Option<Vec<T>> {
        // Collected first: every mistake is noted, not only the first.
        let parsed: Vec<_> = parts.map(|(origin, text)| self.parse(origin, text)).collect();
        parsed.into_iter().collect()
    }

    fn parse<T: Setting>(&self, origin: &Origin, text: &str) -> Option<T> {
        match T::parse(text) {
            Ok(value) => Some(value),
            Err(why) => self.note(
                origin.clone(),
                format!("{text:?} is not valid: {why}; expected {}", T::FORM),
            ),
        }
    }

    fn at(&self, place: Place, key: &str) -> Origin {
        Origin::File {
            path: self.file.clone(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
        }
    }

    fn take(&mut self, name: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == name)?;
        Some(self.entries.remove(index))
    }

    /// The texts of a setting with their origins; `None` when the file has something else than text there.
    fn raw(&mut self, name: &str) -> Option<Vec<(Origin, String)>> {
        // Taken from the file in any case: a key that a flag overrides is still a known key.
        let entry = self.take(name);
        if let Some(found) = self.flags.and_then(|flags| flags.get(name)) {
            return Some(found);
        }
        let Some(entry) = entry else { return Some(Vec::new()) };
        match entry.node.value {
            Value::Null => Some(Vec::new()),
            Value::Scalar(text) => Some(vec![(self.at(entry.node.place, name), text)]),
            Value::List(items) => items.into_iter().map(|item| self.scalar(name, item)).collect(),
            Value::Map(_) => self.note(self.at(entry.node.place, name), "is a map where a value is expected"),
        }
    }

    fn scalar(&self, name: &str, node: Node) -> Option<(Origin, String)> {
        match node.value {
            Value::Scalar(text) => Some((self.at(node.place, name), text)),
            _ => self.note(self.at(node.place, name), "has a list item that is not a plain value"),
        }
    }
}

#[derive(Clone, Copy)]
struct Flags<'a> {
    matches: &'a ArgMatches,
    prefix: &'a str,
}

impl Flags<'_> {
    fn get(self, name: &str) -> Option<Vec<(Origin, String)>> {
        let values = self.matches.try_get_many::<String>(name).ok()??;
        let origin = match self.matches.value_source(name)? {
            ValueSource::EnvVariable => Origin::Env(format!("{}{}", self.prefix, variable(name))),
            // A positional argument has the name that its usage shows, in capitals.
            _ if name.starts_with(|c: char| c.is_ascii_uppercase()) => Origin::Flag(name.to_owned()),
            _ => Origin::Flag(format!("--{name}")),
        };
        Some(values.map(|text| (origin.clone(), text.clone())).collect())
    }
}

/// `flush-interval` as the end of a variable's name: `FLUSH_INTERVAL`.
pub(crate) fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn read(path: &Path) -> Result<Vec<Entry>, Problem> {
    let fail = |message: String| Problem {
        origin: Origin::Flag("--config".into()),
        message,
    };
    let mut text = String::new();
    let limited = File::open(path).map(|file| file.take(yaml::MAX_BYTES + 1));
    limited
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|e| fail(format!("cannot read {}: {e}", path.display())))?;
    if text.len() as u64 > yaml::MAX_BYTES {
        return Err(fail(format!(
            "{} has more than {} bytes, which is no configuration",
            path.display(),
            yaml::MAX_BYTES
        )));
    }
    yaml::parse(path, &text)
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn matches(args: &[&str]) -> ArgMatches {
        let arg = |name| Arg::new(name).long(name);
        Command::new("demo")
            .arg(arg("wait"))
            .arg(arg("path").action(ArgAction::Append))
            .get_matches_from(std::iter::once(&"demo").chain(args))
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let (flags, file) = (matches(&["--wait", "2s"]), file("wait: 1s\npath: [/a, /b]\n"));
        let mut settings = Settings::new(&flags, "DEMO_", Some(file.path()));
        assert_eq!(settings.required("wait"), Some(Duration::from_secs(2)));
        assert_eq!(
            settings.list("path"),
            Some(vec![PathBuf::from("/a"), PathBuf::from("/b")])
        );
        settings.finish(&[]);
        assert_eq!(settings.problems(), []);
    }

    #[test]
    fn every_mistake_is_told_in_one_run_with_its_place() {
        let (flags, file) = (
            matches(&["--path", "/a,"]),
            file("wait: 10\nwiat: 1s\nparts:\n  a: 1\n  b: {wait: soon}\n"),
        );
        let mut settings = Settings::new(&flags, "DEMO_", Some(file.path()));
        let wait = settings.required::<Duration>("wait");
        let paths = settings.list::<PathBuf>("path");
        let missing = settings.required::<String>("name");
        for (_, mut part) in settings.sections("parts") {
            assert_eq!(part.required::<Duration>("wait"), None);
            part.finish(&["wait"]);
        }
        settings.finish(&["wait", "path", "name", "parts"]);
        assert_eq!((wait, paths, missing), (None, None, None));
        let at = file.path().display();
        let form = Duration::FORM;
        let told: Vec<_> = settings.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                format!(
                    "{at}:1:7: wait: \"10\" is not valid: time unit needed, for example 10sec or 10ms; expected {form}"
                ),
                "--path: \"\" is not valid: it is empty; expected a path".into(),
                "name is missing: a text".into(),
                format!("{at}:4:6: a: has to be a map of settings"),
                format!("{at}:5:13: wait: \"soon\" is not valid: expected number at 0; expected {form}"),
                format!("{at}:2:1: wiat: is not a setting; did you mean wait?"),
            ]
        );
    }

    #[test]
    fn several_values_for_one_are_refused() {
        let (flags, file) = (matches(&[]), file("wait: [1s, 2s]\nname: {a: b}\n"));
        let mut settings = Settings::new(&flags, "DEMO_", Some(file.path()));
        assert_eq!(settings.optional::<Duration>("wait"), None);
        assert_eq!(settings.optional::<String>("name"), None);
        assert_eq!(settings.problems().len(), 2);
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let flags = matches(&[]);
        for (length, refused) in [
            (yaml::MAX_BYTES - 1, false),
            (yaml::MAX_BYTES, false),
            (yaml::MAX_BYTES + 1, true),
        ] {
            let file = file(&format!("#{}", " ".repeat(usize::try_from(length).unwrap() - 1)));
            let settings = Settings::new(&flags, "DEMO_", Some(file.path()));
            assert_eq!(!settings.problems().is_empty(), refused, "{length}");
        }
    }
}
