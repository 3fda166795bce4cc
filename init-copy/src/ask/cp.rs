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
use crate::plan::Links;
use crate::receipt::{Existing, Keeping};
use crate::source::Source;

pub(crate) const VERB: Verb = Verb {
    name: "cp",
    about: "Behave like cp: init-copy cp -a SRC... DEST; also when the binary is called cp",
    after_help: "-a keeps modes, times, links, hard links, holes and, where that is allowed, owners and extended attributes. \
                 Accepted and without effect, since it is always so: -f --sparse --reflink. Not supported, and refused: -b -i -l -s --parents.",
    flags,
    sections: &[],
    is_probe: false,
};

/// Which links of the command line and of trees are followed; the last of these flags counts.
const FOLLOW: [&str; 3] = ["dereference", "dereference-named", "no-dereference"];

fn flags() -> Vec<Flag> {
    let switch = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name)
            .short(short)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let hidden = |name: &'static str, short: char| Arg::new(name).short(short).action(ArgAction::SetTrue).hide(true);
    let follow = |arg: Arg| arg.overrides_with_all(FOLLOW);
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
        follow(switch(
            "no-dereference",
            'P',
            "Links that are named are copied as links; so they are with -a, -d and -r",
        )),
        follow(switch("dereference", 'L', "All links are followed: the copy has none")),
        follow(
            Arg::new("dereference-named")
                .short('H')
                .action(ArgAction::SetTrue)
                .help("Links that are named are followed"),
        ),
        switch("no-clobber", 'n', "What stands there stays"),
        switch("update", 'u', "What stands there stays, unless it is older"),
        switch("one-file-system", 'x', "What is mounted in a tree is not copied"),
        Arg::new("target-directory")
            .short('t')
            .long("target-directory")
            .value_name("DIR")
            .help("All paths are sources, DIR is the destination"),
        hidden("links", 'd'),
        hidden("force", 'f'),
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
    let own = [positional::<PathBuf>(PATHS, "As for cp"), receipt_flag()];
    own.into_iter().chain(borrowed.map(Flag::from)).collect()
}

/// The one step of a `cp`.
pub(crate) fn prove(settings: &mut Settings<'_>) -> Option<Step> {
    let on = |name: &str| settings.flag(name);
    let archive = on("archive");
    let recursive = archive || on("recursive");
    let keep = on("keep");
    let whole = on("no-target-directory");
    let follow = on("dereference");
    let keep_links = !follow && !on("dereference-named") && (recursive || on("links") || on("no-dereference"));
    let existing = match (on("no-clobber"), on("update")) {
        (true, _) => Existing::Keep,
        (false, true) => Existing::Update,
        (false, false) => Existing::Replace,
    };
    let one_file_system = on("one-file-system");
    let receipt = settings.or("receipt", Keeping::Off);
    let mut paths = settings.values::<PathBuf>(PATHS)?;
    let dest = match settings.optional::<PathBuf>("target-directory")? {
        Some(dir) => Some(dir.join("")),
        None if paths.len() > 1 => paths.pop(),
        None => None,
    };
    let Some(dest) = dest.filter(|_| !paths.is_empty()) else {
        return settings.refuse("give at least one SRC and a DEST: init-copy cp -a SRC... DEST");
    };
    let is_tree = |path: &PathBuf| super::step::is_tree(path, keep_links);
    if let Some(directory) = paths.iter().find(|path| !recursive && is_tree(path)) {
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
        .map(|path| if whole && is_tree(&path) { path.join(".") } else { path })
        .map(Source::Path)
        .collect();
    let mut step = Step::read(&mut settings.none(), Some("cp"))?;
    step.sources = sources;
    step.dest = Some(dest);
    step.as_cp = true;
    step.exact = whole;
    step.keep_links = keep_links;
    step.links = follow.then_some(Links::Follow);
    step.existing = existing;
    step.one_file_system = one_file_system;
    step.receipt = receipt?;
    // As many as there are.
    step.max_entries = u32::MAX;
    step.attributes = Attributes::new(None, None, None, kept).with_dirs_as_source();
    step.durable = false;
    Some(step)
}
