//! What can be set, defined once: the flag, its variable, its key in the file and its part of the JSON Schema follow from here.

use clap::{Arg, ArgAction};

use super::Setting;

/// What a value looks like in a file, for the JSON Schema.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A text, such as a duration with its unit.
    Text,
    /// A text that may look like a number or a truth value, such as an octal mode.
    Scalar,
    /// A whole number from 0 up.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Words(fn() -> Vec<&'static str>),
    /// That, or the word `off`.
    OrOff(&'static Shape),
}

/// How many values a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    One,
    Many,
    /// By names of their own.
    Named,
}

/// One setting, or an argument of another command line that is borrowed whole.
#[derive(Debug, Clone)]
pub struct Flag {
    pub(crate) arg: Arg,
    pub(crate) value: Option<Value>,
}

/// The values of a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    pub(crate) form: &'static str,
    pub(crate) shape: Shape,
    pub(crate) count: Count,
    pub(crate) accepts: fn(&str) -> bool,
}

impl Flag {
    fn new<T: Setting>(name: &'static str, value: &'static str, help: &'static str, count: Count) -> Self {
        Self {
            arg: Arg::new(name).long(name).value_name(value).help(help),
            value: Some(Value {
                form: T::FORM,
                shape: T::SHAPE,
                count,
                accepts: |text| T::parse(text).is_ok(),
            }),
        }
    }

    fn with(mut self, change: impl FnOnce(Arg) -> Arg) -> Self {
        self.arg = change(self.arg);
        self
    }

    /// The setting's name.
    pub fn name(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// Its value, if it can stand in a file: then it has a variable too.
    pub(crate) fn in_file(&self) -> Option<&Value> {
        self.value.as_ref().filter(|_| !self.arg.is_positional())
    }

    /// Does a word follow it?
    pub(crate) fn takes_value(&self) -> bool {
        self.arg.get_action().takes_values()
    }

    /// May the value be left out, so that one is only taken after `=`?
    pub(crate) fn is_optional(&self) -> bool {
        self.arg.is_require_equals_set()
    }
}

/// An argument that is no setting: it has neither variable nor key.
impl From<Arg> for Flag {
    fn from(arg: Arg) -> Self {
        Self { arg, value: None }
    }
}

/// A flag `--name VALUE` with a variable and a YAML key of the same name.
pub fn setting<T: Setting>(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag::new::<T>(name, value, help, Count::One)
}

/// Like [`setting`], for one that may be repeated or hold several values; a list in the file.
pub fn list<T: Setting>(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag::new::<T>(name, value, help, Count::Many).with(|arg| arg.action(ArgAction::Append))
}

/// Like [`setting`], for values by name: `--name NAME=VALUE`, repeated; a map in the file.
pub fn map<T: Setting>(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag::new::<T>(name, value, help, Count::Named).with(|arg| arg.action(ArgAction::Append))
}

/// Like [`setting`], for one that is either on or off: `--name` or `--name=false`, `name: true` in the file.
pub fn switch(name: &'static str, help: &'static str) -> Flag {
    optional::<bool>(name, "BOOL", "true", help).with(|arg| arg.hide_possible_values(true))
}

/// Like [`setting`], for one whose value may be left out on the command line: `--name` is `--name=default`.
pub fn optional<T: Setting>(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Flag {
    setting::<T>(name, value, help).with(|arg| arg.num_args(0..=1).require_equals(true).default_missing_value(default))
}

/// Arguments without a flag, called `name` in usage and messages: in capitals.
pub fn positional<T: Setting>(name: &'static str, help: &'static str) -> Flag {
    Flag {
        arg: Arg::new(name).value_name(name).action(ArgAction::Append).help(help),
        ..Flag::new::<T>(name, name, help, Count::Many)
    }
}

/// A part of the file that holds settings of its own.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its key.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How often it may stand there.
    pub repeat: Repeat,
    /// What it holds.
    pub flags: fn() -> Vec<Flag>,
}

/// How often a section may stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// `name: {…}`.
    Once,
    /// `name: [{…}, {…}]`.
    List,
    /// `name: {a: {…}, b: {…}}`.
    Named,
}
