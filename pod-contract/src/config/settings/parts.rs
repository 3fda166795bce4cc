//! Parts of the file that hold names of their own: maps of values, sections with settings.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::{Beside, Found, Settings};
use crate::config::yaml::{Entry, Value};
use crate::config::{Origin, Setting};

/// One value with its name and its place.
type Named = (Origin, String, String);

impl<'a> Settings<'a> {
    /// Values by names of their own, in their order: `NAME=VALUE` on the command line and in a variable, a map in the file.
    pub fn map<T: Setting>(&mut self, name: &str) -> Option<Vec<(String, T)>> {
        let given: Vec<Option<Named>> = match self.find(name) {
            Some(Found::Typed(given)) => given
                .into_iter()
                .map(|(origin, text)| match text.split_once('=') {
                    Some((key, value)) if !key.is_empty() => Some((origin, key.to_owned(), value.to_owned())),
                    _ => self.note([origin], format!("{text:?} is not of the form NAME=VALUE")),
                })
                .collect(),
            Some(Found::Written(entry)) => self.map_in_file(name, entry),
            None => Vec::new(),
        };
        let origins = given.iter().flatten().map(|(origin, ..)| origin.clone()).collect();
        self.asked.insert(name.to_owned(), origins);
        let given: Vec<_> = given.into_iter().collect::<Option<_>>()?;
        let mut keys = HashSet::new();
        if let Some((origin, key, _)) = given.iter().find(|(_, key, _)| !keys.insert(key)) {
            return self.note([origin.clone()], format!("{key:?} is set twice"));
        }
        // Collected first: every mistake is noted, not only the first.
        let parsed: Vec<_> = given
            .into_iter()
            .map(|(origin, key, text)| Some((key, self.parse::<T>(&origin, &text)?)))
            .collect();
        parsed.into_iter().collect()
    }

    fn map_in_file(&self, name: &str, entry: Entry) -> Vec<Option<Named>> {
        match entry.node.value {
            Value::Null => Vec::new(),
            Value::Map(entries) => entries
                .into_iter()
                .map(|entry| {
                    let key = entry.key.clone();
                    let (origin, text) = self.scalar(&entry.key, entry.node)?;
                    Some((origin, key, text))
                })
                .collect(),
            _ => vec![self.note([self.at(entry.node.place, name)], "has to be a map of names to values")],
        }
    }

    /// The one section below key `name`.
    pub fn section(&mut self, name: &str) -> Option<Settings<'static>> {
        let entry = self.part(name)?;
        let place = entry.node.place;
        match entry.node.value {
            Value::Map(entries) => Some(self.below(name, entries, Some(self.at(place, name)))),
            _ => self.note([self.at(place, name)], "has to be a map of settings"),
        }
    }

    /// The sections in the list below key `name`.
    pub fn section_list(&mut self, name: &str) -> Vec<Settings<'static>> {
        let Some(entry) = self.part(name) else {
            return Vec::new();
        };
        let place = entry.node.place;
        let Value::List(items) = entry.node.value else {
            self.note::<()>([self.at(place, name)], "has to be a list of maps of settings");
            return Vec::new();
        };
        let sections = items.into_iter().filter_map(|item| match item.value {
            Value::Map(entries) => Some(self.below(name, entries, Some(self.at(item.place, name)))),
            _ => self.note([self.at(item.place, name)], "has to be a map of settings"),
        });
        sections.collect()
    }

    /// The named sections below key `name`, in the order of the file; `None` after a mistake.
    pub fn sections(&mut self, name: &str) -> Option<Vec<(String, Settings<'static>)>> {
        let Some(entry) = self.part(name) else {
            return Some(Vec::new());
        };
        let place = entry.node.place;
        let Value::Map(entries) = entry.node.value else {
            return self.note([self.at(place, name)], "has to be a map of names to settings");
        };
        // Collected first: every mistake is noted, not only the first.
        let sections: Vec<_> = entries
            .into_iter()
            .map(|section| {
                let origin = self.at(section.node.place, &section.key);
                match section.node.value {
                    Value::Map(entries) => Some((section.key, self.below(name, entries, Some(origin)))),
                    _ => self.note([origin], "has to be a map of settings"),
                }
            })
            .collect();
        sections.into_iter().collect()
    }

    /// Like [`Settings::sections`]; what a section does not say is as it stands beside them, so that is read there and nowhere else. Each
    /// says itself what is `own`, and of the `units` says all or nothing.
    pub fn sections_with_defaults(
        &mut self,
        name: &str,
        own: &[&'static str],
        units: &[&[&'static str]],
    ) -> Option<Vec<(String, Settings<'a>)>> {
        let entries: Rc<[Entry]> = self.entries.iter().filter(|entry| entry.key != name).cloned().collect();
        let sections = self.sections(name)?;
        if !sections.is_empty() {
            let flags = Rc::clone(&self.flags);
            flags.iter().for_each(|flag| self.disregard(flag.name()));
        }
        let with_defaults = |(name, section): (String, Settings<'static>)| {
            let says = |name: &&str| section.entries.iter().any(|entry| entry.key == *name);
            let said = units.iter().copied().filter(|unit| unit.iter().any(says));
            let beside = Some(Beside {
                typed: self.typed,
                entries: Rc::clone(&entries),
                hidden: said.chain([own]).flatten().copied().collect(),
                used: HashSet::new(),
                uses: Rc::clone(&self.uses),
            });
            (name, Settings { beside, ..section })
        };
        Some(sections.into_iter().map(with_defaults).collect())
    }

    fn part(&mut self, name: &str) -> Option<Entry> {
        let entry = self.take(name);
        let origin = entry.as_ref().map(|entry| self.at(entry.place, name));
        self.asked.insert(name.to_owned(), origin.into_iter().collect());
        entry.filter(|entry| !matches!(entry.node.value, Value::Null))
    }

    /// The settings of a part of the file, which is defined as the section `name`.
    pub(super) fn below(&self, name: &str, entries: Vec<Entry>, place: Option<Origin>) -> Settings<'static> {
        let flags = self.sections.iter().find(|section| section.name == name);
        Settings {
            typed: None,
            verb: None,
            file: self.file.clone(),
            entries,
            flags: flags.map(|section| (section.flags)()).unwrap_or_default().into(),
            sections: &[],
            asked: HashMap::new(),
            problems: Rc::clone(&self.problems),
            unused: Rc::clone(&self.unused),
            place,
            beside: None,
            uses: Rc::default(),
        }
    }
}
