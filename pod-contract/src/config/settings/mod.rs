//! The one reader of settings: by name, from flag, variable or file, collecting every mistake.

mod mistakes;
mod parts;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::ArgMatches;

use super::flag::{Flag, Section};
use super::typed::Typed;
use super::yaml::{self, Entry, Node, Place, Value};
use super::{Origin, Problem, Setting};

/// A list inside one flag value or variable is separated by this.
const SEPARATOR: char = ',';

/// Settings of the program, or of one section of its file.
///
/// Every reader returns `None` after a mistake has been noted, so a caller reads *all* it needs first and gives up after that:
/// one run shows every mistake.
pub struct Settings<'a> {
    typed: Option<Typed<'a>>,
    verb: Option<&'a str>,
    file: PathBuf,
    entries: Vec<Entry>,
    flags: Rc<[Flag]>,
    sections: &'static [Section],
    /// What was asked for, and where it was given.
    asked: HashMap<String, Vec<Origin>>,
    problems: Rc<RefCell<Vec<Problem>>>,
    /// Variables without effect: an environment is often shared by several containers, so they are no mistakes.
    unused: Rc<RefCell<Vec<Problem>>>,
    /// Of a section, where it stands.
    place: Option<Origin>,
    /// Of a section, what holds for it as far as it says nothing itself.
    beside: Option<Beside<'a>>,
    /// Of what stands beside sections of these settings.
    uses: Uses,
}

/// What was given beside sections.
#[derive(Clone)]
struct Beside<'a> {
    typed: Option<Typed<'a>>,
    entries: Rc<[Entry]>,
    /// What the section has to say itself, or says in another way.
    hidden: HashSet<&'static str>,
    /// What was read of it here.
    used: HashSet<String>,
    uses: Uses,
}

/// In how many sections each setting that stands beside them was read, and in how many it has no effect.
type Uses = Rc<RefCell<HashMap<String, (usize, usize)>>>;

/// Where a setting was found.
enum Found {
    Typed(Vec<(Origin, String)>),
    Written(Entry),
}

impl<'a> Settings<'a> {
    /// Settings from parsed flags, their variables (which start with `prefix`) and, if given, a file; `flags` and `sections` say what
    /// there is.
    pub(crate) fn new(
        matches: &'a ArgMatches,
        prefix: &'a str,
        file: Option<&Path>,
        flags: Vec<Flag>,
        sections: &'static [Section],
    ) -> Self {
        let problems = Rc::new(RefCell::new(Vec::new()));
        let mut entries = Vec::new();
        if let Some(path) = file {
            match yaml::read(path) {
                Ok(found) => entries = found,
                Err(problem) => problems.borrow_mut().push(problem),
            }
        }
        Self {
            typed: Some(Typed { matches, prefix }),
            verb: None,
            file: file.map(Path::to_owned).unwrap_or_default(),
            entries,
            flags: flags.into(),
            sections,
            asked: HashMap::new(),
            problems,
            unused: Rc::default(),
            place: None,
            beside: None,
            uses: Uses::default(),
        }
    }

    /// The same settings, given to a subcommand of the binary's own.
    #[must_use]
    pub(crate) fn for_verb(mut self, verb: Option<&'a str>) -> Self {
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
        match self.raw(name, T::FORM)?.as_slice() {
            [] => Some(None),
            [(origin, text)] => self.parse(origin, text).map(Some),
            [_, (origin, _), ..] => self.note([origin.clone()], "takes one value, not several"),
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
        let raw = self.raw(name, T::FORM)?;
        let parts = raw
            .iter()
            .flat_map(|(origin, text)| text.split(SEPARATOR).map(move |part| (origin, part.trim())));
        self.parse_all(parts)
    }

    /// Like [`Settings::list`], for texts in which a comma is a character like any other.
    pub fn values<T: Setting>(&mut self, name: &str) -> Option<Vec<T>> {
        let raw = self.raw(name, T::FORM)?;
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

    /// Is the flag without a value on the command line?
    pub fn flag(&self, name: &str) -> bool {
        self.typed.is_some_and(|typed| typed.is_set(name))
    }

    /// Settings with nothing in them, whose mistakes are told with these.
    pub fn none(&self) -> Settings<'static> {
        self.below("", Vec::new(), None)
    }

    fn parse_all<'r, T: Setting>(&self, parts: impl Iterator<Item = (&'r Origin, &'r str)>) -> Option<Vec<T>> {
        // Collected first: every mistake is noted, not only the first.
        let parsed: Vec<_> = parts.map(|(origin, text)| self.parse(origin, text)).collect();
        parsed.into_iter().collect()
    }

    fn parse<T: Setting>(&self, origin: &Origin, text: &str) -> Option<T> {
        match T::parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                let shown = if T::IS_SECRET {
                    "what is given here".into()
                } else {
                    format!("{text:?}")
                };
                self.note(
                    [origin.clone()],
                    format!("{shown} is not valid: {why}; expected {}", T::FORM),
                )
            }
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

    /// What is no setting of a file, such as an argument without a flag, is not taken from there.
    fn take(&mut self, name: &str) -> Option<Entry> {
        let is_flag = self
            .flags
            .iter()
            .any(|flag| flag.name() == name && flag.in_file().is_some());
        if !is_flag && !self.sections.iter().any(|section| section.name == name) {
            return None;
        }
        let index = self.entries.iter().position(|entry| entry.key == name)?;
        Some(self.entries.remove(index))
    }

    /// The texts of a setting with their origins; `None` when the file has something else than text there.
    fn raw(&mut self, name: &str, form: &str) -> Option<Vec<(Origin, String)>> {
        self.same_type(name, form);
        let found = match self.find(name) {
            Some(Found::Typed(found)) => Some(found),
            Some(Found::Written(entry)) => self.texts(name, entry.node),
            None => Some(Vec::new()),
        };
        let origins = found.iter().flatten().map(|(origin, _)| origin.clone()).collect();
        self.asked.insert(name.to_owned(), origins);
        found
    }

    /// A flag or variable before the file, and what a section says before what stands beside it.
    fn find(&mut self, name: &str) -> Option<Found> {
        // Taken from the file in any case: a key that a flag overrides is still a known key.
        let written = self.take(name);
        let typed = self.typed.and_then(|typed| typed.get(name)).map(Found::Typed);
        if let Some(found) = typed.or(written.map(Found::Written)) {
            return Some(found);
        }
        let beside = self.beside.as_mut().filter(|beside| !beside.hidden.contains(name))?;
        let typed = beside.typed.and_then(|typed| typed.get(name)).map(Found::Typed);
        let written = || {
            beside
                .entries
                .iter()
                .find(|entry| entry.key == name)
                .cloned()
                .map(Found::Written)
        };
        let found = typed.or_else(written)?;
        if beside.used.insert(name.to_owned()) {
            beside.uses.borrow_mut().entry(name.to_owned()).or_default().0 += 1;
        }
        Some(found)
    }

    /// What is defined, and shown in the schema, is what is read.
    fn same_type(&self, name: &str, read: &str) {
        let defined = self.flags.iter().find(|flag| flag.name() == name);
        let form = defined.and_then(|flag| flag.value.as_ref()).map(|value| value.form);
        debug_assert!(
            form.is_none_or(|form| form == read),
            "{name} is defined as {form:?} and read as {read:?}"
        );
    }

    fn texts(&self, name: &str, node: Node) -> Option<Vec<(Origin, String)>> {
        match node.value {
            Value::Null => Some(Vec::new()),
            Value::Scalar(text) => Some(vec![(self.at(node.place, name), text)]),
            Value::List(items) => items.into_iter().map(|item| self.scalar(name, item)).collect(),
            Value::Map(_) => self.note([self.at(node.place, name)], "is a map where a value is expected"),
        }
    }

    fn scalar(&self, name: &str, node: Node) -> Option<(Origin, String)> {
        match node.value {
            Value::Scalar(text) => Some((self.at(node.place, name), text)),
            _ => self.note([self.at(node.place, name)], "has to be a plain value"),
        }
    }
}

/// The text for a message: without the user information of a URL, which may hold a password.
pub fn shown(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => match rest.split(['/', '?', '#']).next().unwrap_or_default().rsplit_once('@') {
            Some((user, _)) => format!("{:?}", format!("{scheme}://…{}", &rest[user.len()..])),
            None => format!("{text:?}"),
        },
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests;
