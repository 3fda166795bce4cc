use std::time::Duration;

use clap::Command;

use super::*;
use crate::config::{Repeat, list, map, setting};
use crate::units::Bytes;

fn flags() -> Vec<Flag> {
    vec![
        setting::<Duration>("wait", "DURATION", "How long"),
        setting::<Bytes>("most", "SIZE", "How much"),
        setting::<String>("name", "NAME", "Whose"),
        list::<PathBuf>("path", "FILE", "Where"),
        map::<u32>("port", "NAME=PORT", "Of whom"),
    ]
}

fn part_flags() -> Vec<Flag> {
    vec![setting::<Duration>("wait", "DURATION", "How long")]
}

const SECTIONS: &[Section] = &[
    Section {
        name: "parts",
        help: "By name",
        repeat: Repeat::Named,
        flags: part_flags,
    },
    Section {
        name: "queue",
        help: "In turn",
        repeat: Repeat::List,
        flags: part_flags,
    },
    Section {
        name: "tls",
        help: "One",
        repeat: Repeat::Once,
        flags: part_flags,
    },
];

fn matches(args: &[&str]) -> ArgMatches {
    Command::new("demo")
        .args(flags().into_iter().map(|flag| flag.arg))
        .get_matches_from(std::iter::once(&"demo").chain(args))
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn settings<'a>(matches: &'a ArgMatches, file: &tempfile::NamedTempFile) -> Settings<'a> {
    Settings::new(matches, "DEMO_", Some(file.path()), flags(), SECTIONS)
}

/// The mistakes, with `FILE` for the path of the file.
fn told(settings: &Settings<'_>, file: &tempfile::NamedTempFile) -> Vec<String> {
    let path = file.path().display().to_string();
    let problems = settings.problems();
    problems.iter().map(|p| p.to_string().replace(&path, "FILE")).collect()
}

#[test]
fn a_flag_wins_over_the_file() {
    let (flags, file) = (matches(&["--wait", "2s"]), file("wait: 1s\npath: [/a, /b]\n"));
    let mut settings = settings(&flags, &file);
    assert_eq!(settings.required("wait"), Some(Duration::from_secs(2)));
    assert_eq!(
        settings.list("path"),
        Some(vec![PathBuf::from("/a"), PathBuf::from("/b")])
    );
    settings.finish(true);
    assert_eq!(settings.problems(), []);
}

#[test]
fn every_mistake_is_told_in_one_run_with_its_place() {
    let (flags, file) = (
        matches(&["--path", "/a,"]),
        file("wait: 10\nwiat: 1s\noutput: x\nparts:\n  a: 1\n  b: {}\n  c: x\n"),
    );
    let mut settings = settings(&flags, &file);
    let wait = settings.required::<Duration>("wait");
    let paths = settings.list::<PathBuf>("path");
    let missing = settings.required::<String>("name");
    assert!(settings.sections("parts").is_none());
    settings.finish(false);
    assert_eq!((wait, paths, missing), (None, None, None));
    let form = Duration::FORM;
    assert_eq!(
        told(&settings, &file),
        [
            format!(
                "FILE:1:7: wait: \"10\" is not valid: time unit needed, for example 10sec or 10ms; expected {form}"
            ),
            "--path: \"\" is not valid: it is empty; expected a path".into(),
            "name is missing: a text".into(),
            "FILE:5:6: a: has to be a map of settings".into(),
            "FILE:7:6: c: has to be a map of settings".into(),
            "FILE:2:1: wiat: is not a setting; did you mean wait?".into(),
            "FILE:3:1: output: is not a setting".into(),
        ]
    );
}

#[test]
fn several_values_for_one_are_refused() {
    let (flags, file) = (matches(&[]), file("wait: [1s, 2s]\nname: {a: b}\n"));
    let mut settings = settings(&flags, &file);
    assert_eq!(settings.optional::<Duration>("wait"), None);
    assert_eq!(settings.optional::<String>("name"), None);
    assert_eq!(settings.problems().len(), 2);
}

#[test]
fn sections_are_one_a_list_or_named() {
    let (flags, file) = (
        matches(&[]),
        file("tls: {wait: 1s}\nqueue: [{wait: 2s}, {wait: 3s}]\nparts: {b: {wait: 4s}, a: {}}\n"),
    );
    let mut settings = settings(&flags, &file);
    let wait = |part: &mut Settings<'_>| part.optional::<Duration>("wait").unwrap();
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(settings.section("tls").as_mut().map(wait), Some(seconds(1)));
    let queue: Vec<_> = settings.section_list("queue").iter_mut().map(wait).collect();
    assert_eq!(queue, [seconds(2), seconds(3)]);
    let parts = settings.sections("parts").unwrap().into_iter();
    let parts: Vec<_> = parts.map(|(name, mut part)| (name, wait(&mut part))).collect();
    assert_eq!(parts, [("b".to_owned(), seconds(4)), ("a".to_owned(), None)]);
    settings.finish(true);
    assert_eq!(told(&settings, &file), [""; 0]);
}

#[test]
fn what_a_section_does_not_say_is_as_it_stands_beside_them() {
    let (flags, file) = (
        matches(&["--most", "3B"]),
        file("wait: 9s\nport: {x: 1}\nparts: {a: {wait: 4s}, b: {}, c: {wait: }, d: {wiat: 1s}}\n"),
    );
    let mut settings = settings(&flags, &file);
    let parts = settings.sections_with_defaults("parts", &[], &[]).unwrap().into_iter();
    let read: Vec<_> = parts
        .map(|(_, mut part)| {
            let read = (
                part.optional::<Duration>("wait").unwrap().map(|wait| wait.as_secs()),
                part.optional::<Bytes>("most").unwrap().map(|most| most.0),
                part.map::<u32>("port").unwrap(),
            );
            // Of what stands beside, nobody knows whether it is for another.
            part.pointless("most", "nothing is that large");
            part.pointless("wait", "nobody waits");
            part.finish(true);
            read
        })
        .collect();
    let ports = || vec![("x".to_owned(), 1)];
    assert_eq!(
        read,
        [Some(4), Some(9), None, Some(9)].map(|wait| (wait, Some(3), ports()))
    );
    settings.finish(true);
    assert_eq!(
        told(&settings, &file),
        [
            "FILE:3:19: wait: has no effect: nobody waits",
            "FILE:3:48: wiat: is not a setting; did you mean wait?",
            "--most: has no effect on any of them",
            "FILE:1:1: wait: has no effect on any of them",
        ]
    );
}

#[test]
fn a_section_says_what_is_its_own_and_all_of_a_unit() {
    let (flags, file) = (
        matches(&["--name", "x"]),
        file("wait: 9s\nmost: 1B\nparts: {a: {wait: 1s}, b: {}}\n"),
    );
    let mut settings = settings(&flags, &file);
    let parts = settings.sections_with_defaults("parts", &["name"], &[&["wait", "most"]]);
    let read: Vec<_> = parts
        .unwrap()
        .into_iter()
        .map(|(_, mut part)| {
            (
                part.optional::<Bytes>("most").unwrap(),
                part.optional::<String>("name").unwrap(),
            )
        })
        .collect();
    assert_eq!(read, [(None, None), (Some(Bytes(1)), None)]);
}

#[test]
fn a_mistake_beside_sections_is_told_once() {
    let (flags, file) = (matches(&[]), file("wait: 9\nparts: {a: {}, b: {}}\n"));
    let mut settings = settings(&flags, &file);
    for (_, mut part) in settings.sections_with_defaults("parts", &[], &[]).unwrap() {
        assert_eq!(part.required::<Duration>("wait"), None);
    }
    assert_eq!(settings.problems().len(), 1);
}

#[test]
fn sections_of_another_shape_are_refused_with_their_place() {
    let (flags, file) = (matches(&[]), file("tls: [1]\nqueue: {a: b}\nparts:\n  - x\n"));
    let mut settings = settings(&flags, &file);
    assert!(settings.section("tls").is_none());
    assert!(settings.section_list("queue").is_empty() && settings.sections("parts").is_none());
    assert_eq!(
        told(&settings, &file),
        [
            "FILE:1:6: tls: has to be a map of settings",
            "FILE:2:8: queue: has to be a list of maps of settings",
            "FILE:4:3: parts: has to be a map of names to settings",
        ]
    );
}

#[test]
fn values_by_name_are_a_map_or_pairs() {
    let wanted = Some(vec![("http".to_owned(), 80_u32), ("db".to_owned(), 5432)]);
    let (none, yaml) = (matches(&[]), file("port: {http: 80, db: 5432}\n"));
    assert_eq!(settings(&none, &yaml).map("port"), wanted);
    let (typed, other) = (
        matches(&["--port", "http=80", "--port", "db=5432"]),
        file("port: {http: 81}\n"),
    );
    assert_eq!(settings(&typed, &other).map("port"), wanted, "a flag wins");

    for (args, yaml, mistake) in [
        (
            &["--port", "80"][..],
            "",
            "--port: \"80\" is not of the form NAME=VALUE",
        ),
        (&["--port", "=80"], "", "--port: \"=80\" is not of the form NAME=VALUE"),
        (&["--port", "a=1", "--port", "a=2"], "", "--port: \"a\" is set twice"),
        (
            &["--port", "a=x"],
            "",
            "--port: \"x\" is not valid: invalid digit found in string; expected a whole number",
        ),
        (
            &[],
            "port: [80]\n",
            "FILE:1:7: port: has to be a map of names to values",
        ),
        (&[], "port: {a: [1]}\n", "FILE:1:11: a: has to be a plain value"),
        (
            &[],
            "port: {a: x}\n",
            "FILE:1:11: a: \"x\" is not valid: invalid digit found in string; expected a whole number",
        ),
    ] {
        let (flags, file) = (matches(args), file(yaml));
        let mut settings = settings(&flags, &file);
        assert_eq!(settings.map::<u32>("port"), None, "{args:?} {yaml:?}");
        assert_eq!(told(&settings, &file), [mistake]);
    }
}

#[test]
fn a_mistake_between_settings_keeps_all_their_places() {
    let (flags, file) = (matches(&["--wait", "1s"]), file("most: 5MiB\n"));
    let mut settings = settings(&flags, &file);
    settings.optional::<Duration>("wait").unwrap();
    settings.optional::<Bytes>("most").unwrap();
    settings.optional::<String>("name").unwrap();
    settings.refuse_together::<()>(&["wait", "most", "name"], "do not go together");
    assert_eq!(told(&settings, &file), ["--wait, FILE:1:7: most: do not go together"]);
}

#[test]
fn what_is_given_and_has_no_effect_is_refused() {
    let (flags, file) = (
        matches(&["--wait", "1s", "--path", "/a"]),
        file("name: x\nmost:\nparts: {a: {}}\n"),
    );
    let mut settings = settings(&flags, &file);
    settings.pointless("wait", "there is nothing to wait for");
    settings.pointless("port", "it is not given");
    settings.finish(true);
    assert_eq!(
        told(&settings, &file),
        [
            "--wait: has no effect: there is nothing to wait for",
            "FILE:1:1: name: has no effect beside the other settings; leave it out",
            "--path: has no effect beside the other settings; leave it out",
            "FILE:3:1: parts: has no effect beside the other settings; leave it out",
        ]
    );
}

#[test]
fn after_a_mistake_what_was_not_read_is_no_mistake() {
    let (flags, file) = (matches(&["--wait", "x", "--path", "/a"]), file(""));
    let mut settings = settings(&flags, &file);
    assert_eq!(settings.optional::<Duration>("wait"), None);
    settings.finish(false);
    assert_eq!(settings.problems().len(), 1);
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
        assert_eq!(!settings(&flags, &file).problems().is_empty(), refused, "{length}");
    }
}
