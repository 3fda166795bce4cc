//! `cp`: the front for images that called busybox or GNU `cp`, so that moving here is a change of the image alone.
//!
//! What differs from `cp`: everything is staged and published by rename, nothing is done when nothing changed, and what takes
//! privileges (owner, some attributes) is kept where it can be, with one line for all of it. Like `cp`, it does not sync.

use std::path::PathBuf;

use clap::{Arg, ArgAction};
use pod_contract::cli::Verb;
use pod_contract::config::Settings;

use crate::attributes::{Attributes, Kept};
use crate::config::PATHS;
use crate::source::Source;
use crate::step::Step;

pub(crate) const VERB: Verb = Verb {
    name: "cp",
    about: "Behave like cp: init-copy cp -a SRC... DEST; also when the binary is called cp",
    after_help: "-a keeps modes, times, links, hard links, holes and, where that is allowed, owners and extended attributes. \
                 A SRC that is a link is copied as a link with -a, -r, -d or -P, else it is followed. \
                 Accepted and without effect, since it is always so: -f -x -u --sparse --reflink.",
    flags,
};

fn flags() -> Vec<Arg> {
    let switch = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name)
            .short(short)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let ignored = |name: &'static str, short: char| Arg::new(name).short(short).action(ArgAction::SetTrue).hide(true);
    vec![
        Arg::new(PATHS)
            .value_name(PATHS)
            .action(ArgAction::Append)
            .help("As for cp"),
        switch("archive", 'a', "Directories too, and everything kept as it is"),
        switch("recursive", 'r', "Directories too").visible_short_alias('R'),
        switch("keep", 'p', "Keep mode, owner and times"),
        switch("verbose", 'v', "Accepted; the log says what was done"),
        switch(
            "no-target-directory",
            'T',
            "DEST is the copy itself, also when it is a directory",
        ),
        switch("dereference", 'L', "Not supported: links in trees are copied as links"),
        Arg::new("target-directory")
            .short('t')
            .long("target-directory")
            .value_name("DIR")
            .help("All paths are sources, DIR is the destination"),
        ignored("no-dereference-preserve", 'd'),
        ignored("force", 'f'),
        ignored("no-follow", 'P'),
        ignored("one-file-system", 'x'),
        ignored("update", 'u'),
        Arg::new("reflink")
            .long("reflink")
            .num_args(0..=1)
            .require_equals(true)
            .hide(true),
        Arg::new("sparse")
            .long("sparse")
            .num_args(1)
            .require_equals(true)
            .hide(true),
        Arg::new("no-dereference")
            .long("no-dereference")
            .action(ArgAction::SetTrue)
            .hide(true),
        Arg::new("preserve")
            .long("preserve")
            .num_args(0..=1)
            .require_equals(true)
            .hide(true),
    ]
}

/// The one step of a `cp`.
pub(crate) fn prove(settings: &mut Settings<'_>) -> Option<Step> {
    let on = |name: &str| settings.flag(name);
    let archive = on("archive");
    let recursive = archive || on("recursive");
    let keep = on("keep");
    let whole = on("no-target-directory");
    let keep_links = recursive || on("no-dereference-preserve") || on("no-follow") || on("no-dereference");
    if on("dereference") {
        return settings.refuse("-L is not supported: copy what the links lead to by its own name");
    }
    let mut paths = settings.values::<PathBuf>(PATHS)?;
    let dest = match settings.optional::<PathBuf>("target-directory")? {
        Some(dir) => Some(dir.join("")),
        None if paths.len() > 1 => paths.pop(),
        None => None,
    };
    let Some(dest) = dest.filter(|_| !paths.is_empty()) else {
        return settings.refuse("give at least one SRC and a DEST: init-copy cp -a SRC... DEST");
    };
    if let Some(directory) = paths.iter().find(|path| !recursive && path.is_dir()) {
        return settings.refuse(format!("{} is a directory: give -r or -a", directory.display()));
    }
    let kept = match (archive, keep) {
        (true, _) => vec![Kept::All],
        (false, true) => vec![Kept::Mode, Kept::Owner, Kept::Times],
        _ => Vec::new(),
    };
    // `-T` and a directory: the contents go right into DEST.
    let dest = if whole { dest.components().collect() } else { dest };
    let sources = paths
        .into_iter()
        .map(|path| if whole && path.is_dir() { path.join(".") } else { path })
        .map(Source::Path)
        .collect();
    let mut step = Step::read(&mut settings.none(), Some("cp"))?;
    step.sources = sources;
    step.dest = Some(dest);
    step.as_cp = true;
    step.keep_links = keep_links;
    step.attributes = Attributes::new(None, None, None, kept);
    step.durable = false;
    Some(step)
}
