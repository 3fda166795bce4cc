//! `cp`: the front for images that called busybox or GNU `cp`, so that moving here is a change of the image alone.
//!
//! What differs from `cp`: everything is staged and published by rename, nothing is done when nothing changed, and what takes
//! privileges (owner, some attributes) is kept where it can be, with one line for all of it. Like `cp`, it does not sync.

use std::path::PathBuf;

use clap::{Arg, ArgAction};
use pod_contract::config::{Flag, Settings, positional};
use pod_contract::start::cli::Verb;

use super::step::Step;
use super::step::{PATHS, receipt_flag};
use crate::attributes::{Attributes, Kept};
use crate::receipt::Keeping;
use crate::source::Source;

pub(crate) const VERB: Verb = Verb {
    name: "cp",
    about: "Behave like cp: init-copy cp -a SRC... DEST; also when the binary is called cp",
    after_help: "-a keeps modes, times, links, hard links, holes and, where that is allowed, owners and extended attributes. \
                 Accepted and without effect, since it is always so: -f --sparse --reflink. Not supported, and refused: -L -H -u -n -x.",
    flags,
    sections: &[],
    is_probe: false,
};

fn flags() -> Vec<Flag> {
    let switch = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name)
            .short(short)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let hidden = |name: &'static str, short: char| Arg::new(name).short(short).action(ArgAction::SetTrue).hide(true);
    let borrowed = [
        switch("archive", 'a', "Directories too, and everything kept as it is"),
        switch("recursive", 'r', "Directories too").visible_short_alias('R'),
        switch("keep", 'p', "Keep mode, owner and times"),
        switch("verbose", 'v', "Accepted; the log says what was done"),
        switch(
            "no-target-directory",
            'T',
            "DEST is the copy itself, also when it is a directory",
        ),
        switch(
            "no-dereference",
            'P',
            "Links that are named are copied as links; so they are with -a, -d and -r",
        ),
        Arg::new("target-directory")
            .short('t')
            .long("target-directory")
            .value_name("DIR")
            .help("All paths are sources, DIR is the destination"),
        hidden("links", 'd'),
        hidden("force", 'f'),
        hidden("dereference", 'L'),
        hidden("dereference-named", 'H'),
        hidden("update", 'u'),
        hidden("no-clobber", 'n'),
        hidden("one-file-system", 'x'),
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
        Arg::new("preserve")
            .long("preserve")
            .value_name("WHAT")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("mode,ownership,timestamps")
            .help("Keep mode, ownership, timestamps, xattr, links or all"),
    ];
    let paths = positional::<PathBuf>(PATHS, "As for cp");
    let own = [paths, receipt_flag()];
    own.into_iter().chain(borrowed.map(Flag::from)).collect()
}

/// The one step of a `cp`.
pub(crate) fn prove(settings: &mut Settings<'_>) -> Option<Step> {
    let on = |name: &str| settings.flag(name);
    let archive = on("archive");
    let recursive = archive || on("recursive");
    let keep = on("keep");
    let whole = on("no-target-directory");
    for (name, short, instead) in [
        ("dereference", "-L", "links in trees are copied as links"),
        ("dereference-named", "-H", "name what the link leads to"),
        ("update", "-u", "leave it out: what is proven unchanged is not copied"),
        (
            "no-clobber",
            "-n",
            "existence is no proof that a file is whole; leave it out",
        ),
        ("one-file-system", "-x", "name the directories"),
    ] {
        if on(name) {
            return settings.refuse(format!("{short} is not supported: {instead}"));
        }
    }
    let keep_links = recursive || on("links") || on("no-dereference");
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
    let mut kept: Vec<Kept> = settings.list("preserve")?;
    if archive {
        kept.push(Kept::All);
    } else if keep {
        kept.extend([Kept::Mode, Kept::Owner, Kept::Times]);
    }
    // `-T` and a directory: the contents go right into DEST.
    let dest = if whole { dest.components().collect() } else { dest };
    let sources = paths
        .into_iter()
        .map(|path| if whole && path.is_dir() { path.join(".") } else { path })
        .map(Source::Path)
        .collect();
    let receipt = settings.or("receipt", Keeping::Off)?;
    let mut step = Step::read(&mut settings.none(), Some("cp"))?;
    step.sources = sources;
    step.dest = Some(dest);
    step.as_cp = true;
    step.keep_links = keep_links;
    step.attributes = Attributes::new(None, None, None, kept).with_dirs_as_source();
    step.durable = false;
    step.receipt = receipt;
    Some(step)
}
