//! Flags and the proved configuration.

use std::path::PathBuf;

use clap::{Arg, ArgAction};
use pod_contract::cli::{list, setting};
use pod_contract::config::Settings;

pub(crate) const AFTER_HELP: &str = "\
A directory SRC is copied under its name, SRC/ (with a slash) contributes its contents. DEST is a directory when it exists as one, \
ends with a slash, or there is more than one SRC; otherwise it names the file.

Examples:
  init-copy /sample.war /webapps/
  init-copy /agent/ /config/app.yaml /shared/

Exit codes: 0 done or already done, 1 failed, 2 bad flags, 10 source missing or changing, 14 no space, 15 permission or read-only, \
16 the destination holds something else there";

pub(crate) fn flags() -> Vec<Arg> {
    vec![
        Arg::new("paths")
            .value_name("SRC... DEST")
            .action(ArgAction::Append)
            .help("What to copy, and where to"),
        list("source", "SRC", "The same as SRC, for variables and files"),
        setting("dest", "DEST", "The same as DEST, for variables and files"),
    ]
}

/// What to copy and where to.
#[derive(Debug)]
pub struct Config {
    /// At least one.
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) dest: PathBuf,
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(settings: &mut Settings<'_>) -> Option<Self> {
        let paths = settings.values::<PathBuf>("paths");
        let sources = settings.values::<PathBuf>("source");
        let dest = settings.optional::<PathBuf>("dest");
        match (paths?, sources?, dest?) {
            (mut paths, sources, None) if sources.is_empty() && paths.len() > 1 => {
                let dest = paths.pop()?;
                Some(Self { sources: paths, dest })
            }
            (paths, sources, Some(dest)) if paths.is_empty() && !sources.is_empty() => Some(Self { sources, dest }),
            (paths, sources, dest) if paths.is_empty() || sources.is_empty() && dest.is_none() => {
                settings.refuse("give at least one SRC and a DEST: init-copy SRC... DEST")
            }
            _ => settings.refuse("give SRC... DEST or --source and --dest, not both"),
        }
    }
}
