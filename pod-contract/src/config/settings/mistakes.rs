//! Mistakes that show when settings are seen together, and settings that are none.

use super::Settings;
use crate::config::flag::Flag;
use crate::config::near::near;
use crate::config::yaml::Value;
use crate::config::{Origin, Problem};

impl Settings<'_> {
    /// Notes a mistake of the settings as a whole; returns `None` for use with `?`.
    pub fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.note(self.place.clone().into_iter().collect::<Vec<_>>(), message)
    }

    /// Notes a mistake that only shows when the settings `names` are seen together, with the places of those that were given.
    pub fn refuse_together<T>(&self, names: &[&str], message: impl Into<String>) -> Option<T> {
        let given = names.iter().filter_map(|name| self.asked.get(*name)).flatten();
        // A list has as many places as values, and one flag the same for all of them.
        let mut origins: Vec<Origin> = given.cloned().collect();
        origins.dedup();
        if origins.is_empty() {
            return self.refuse(message);
        }
        self.note(origins, message)
    }

    /// A setting makes no difference here, and may be given all the same: what several verbs share stands in one file.
    pub fn disregard(&mut self, name: &str) {
        let origins = self.given(name);
        self.take(name);
        self.asked.insert(name.to_owned(), origins);
    }

    /// A setting that does nothing beside the others: a mistake where it is given, since whoever wrote it believes that it does.
    pub fn pointless(&mut self, name: &str, why: &str) {
        if let Some(beside) = &self.beside
            && beside.used.contains(name)
        {
            // It may have an effect on other sections.
            beside.uses.borrow_mut().entry(name.to_owned()).or_default().1 += 1;
            return;
        }
        let origins = self.given(name);
        self.note_unused(&origins, &format!("has no effect: {why}"));
        self.take(name);
        self.asked.insert(name.to_owned(), origins);
    }

    /// Where a setting is given, read or not.
    fn given(&self, name: &str) -> Vec<Origin> {
        if let Some(origins) = self.asked.get(name) {
            return origins.clone();
        }
        let typed = self.typed.and_then(|typed| typed.get(name)).unwrap_or_default();
        let typed = typed.into_iter().map(|(origin, _)| origin);
        let entries = self.entries.iter().filter(|entry| entry.key == name);
        let written = entries.filter(|entry| !matches!(entry.node.value, Value::Null));
        typed.chain(written.map(|entry| self.at(entry.place, name))).collect()
    }

    /// Reports the keys of the file that are no settings, and, when all was `proved`, settings that were given and that nobody asked for.
    pub fn finish(&mut self, proved: bool) {
        let settings = self.flags.iter().filter(|flag| flag.value.is_some()).map(Flag::name);
        let in_file = |name: &str| {
            let flag = self.flags.iter().find(|flag| flag.name() == name);
            flag.is_none_or(|flag| flag.in_file().is_some())
        };
        let known: Vec<String> = settings
            .chain(self.sections.iter().map(|section| section.name))
            .map(str::to_owned)
            .collect();
        if proved {
            for name in known.iter().filter(|name| !self.asked.contains_key(*name)) {
                if let Some(origin) = self.given(name).first() {
                    self.note::<()>(
                        [origin.clone()],
                        "has no effect beside the other settings; leave it out",
                    );
                }
            }
        }
        let mut without_effect: Vec<String> = {
            let uses = self.uses.borrow();
            let pointless = uses.iter().filter(|(_, (read, pointless))| pointless >= read);
            pointless.map(|(name, _)| name.clone()).collect()
        };
        without_effect.sort_unstable();
        for name in without_effect {
            self.note_unused(&self.given(&name), "has no effect on any of them");
        }
        for entry in std::mem::take(&mut self.entries) {
            let names = known.iter().map(String::as_str).filter(|name| in_file(name));
            if names.clone().any(|name| name == entry.key) {
                continue;
            }
            let hint = near(&entry.key, names).map_or_else(String::new, |name| format!("; did you mean {name}?"));
            self.note::<()>([self.at(entry.place, &entry.key)], format!("is not a setting{hint}"));
        }
    }

    fn note_unused(&self, origins: &[Origin], message: &str) {
        let Some(origin) = origins.first() else { return };
        let problem = Problem {
            origins: vec![origin.clone()],
            message: message.to_owned(),
        };
        let kept = if matches!(origin, Origin::Env(_)) {
            &self.unused
        } else {
            &self.problems
        };
        kept.borrow_mut().push(problem);
    }

    /// Variables that have no effect, for the log.
    pub(crate) fn unused(&self) -> Vec<Problem> {
        self.unused.borrow().clone()
    }

    /// All mistakes noted so far, in this and every section.
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.borrow().clone()
    }

    pub(super) fn note<T>(&self, origins: impl Into<Vec<Origin>>, message: impl Into<String>) -> Option<T> {
        let problem = Problem {
            origins: origins.into(),
            message: message.into(),
        };
        let mut problems = self.problems.borrow_mut();
        // What stands beside sections is read for each of them.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
        None
    }

    pub(super) fn missing<T>(&self, name: &str, form: &str) -> Option<T> {
        self.refuse(format!("{name} is missing: {form}"))
    }
}
